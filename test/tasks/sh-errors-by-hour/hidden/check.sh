awk 'BEGIN { for (i = 0; i < 20000; i++) { h = int(i * 24 / 20000); if (i * 31 % 97 == 5 && h % 5 != 2) n[h]++ } for (h = 0; h < 24; h++) if (n[h]) printf "%02d %d\n", h, n[h] }' | diff - errors.txt
