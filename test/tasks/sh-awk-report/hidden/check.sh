set -e
awk -f report.awk sales.csv > /tmp/out
printf 'north\t30.50\nsouth\t15.25\neast\t10.00\nwest\t-3.10\n' | diff - /tmp/out
printf 'region,day,amount\na,x,1\nb,x,2\nc,x,\nb,y,.5\n' > /tmp/s.csv
awk -f report.awk /tmp/s.csv > /tmp/out
printf 'b\t2.50\na\t1.00\n' | diff - /tmp/out
! grep -Eq 'system|\| *"?sort|getline' report.awk
