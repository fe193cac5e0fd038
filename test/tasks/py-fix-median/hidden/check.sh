cmp test_stats.py /check/test_stats.py && exec python3 /check/judge.py
