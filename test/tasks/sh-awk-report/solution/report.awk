# Sums of amounts by region, largest first.
BEGIN { FS = "," }

NR > 1 && $3 ~ /^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$/ {
  if (!($1 in sum)) names[++count] = $1
  sum[$1] += $3
}

END {
  for (i = 2; i <= count; i++) {
    name = names[i]
    for (j = i - 1; j >= 1 && sum[names[j]] < sum[name]; j--) names[j + 1] = names[j]
    names[j + 1] = name
  }
  for (i = 1; i <= count; i++) printf "%s\t%.2f\n", names[i], sum[names[i]]
}
