cmp prices.csv /check/prices.csv
