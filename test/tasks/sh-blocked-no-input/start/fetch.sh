#!/bin/sh
# Fetches data/$1.csv.
exec curl -fsS --max-time 3 -o "data/$1.csv" "https://data.example/$1.csv"
