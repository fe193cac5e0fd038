set -e
cd /tmp && printf 'a b c\n' > one.txt && printf 'd e\n' > two.txt
python3 /work/wc.py one.txt two.txt > plain
printf '       3 one.txt\n       2 two.txt\n       5 total\n' | cmp - plain
python3 /work/wc.py one.txt | cmp - /check/single
python3 /work/wc.py --json one.txt two.txt | python3 -c 'import json,sys; assert json.load(sys.stdin) == {"files": {"one.txt": 3, "two.txt": 2}, "total": 5}'
python3 /work/wc.py one.txt --json | python3 -c 'import json,sys; assert json.load(sys.stdin) == {"files": {"one.txt": 3}, "total": 3}'
