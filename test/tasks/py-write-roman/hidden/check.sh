exec python3 /check/judge.py
