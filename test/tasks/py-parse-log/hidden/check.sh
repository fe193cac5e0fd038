exec python3 -c '
import json
found = json.load(open("summary.json"))
assert found["requests"] == 8, found
assert {str(k): v for k, v in found["by_status"].items()} == {"200": 4, "302": 1, "404": 1, "500": 1, "304": 1}, found
assert found["bad_lines"] == 2, found
assert found["slowest"].startswith("/report?q=") and "all" in found["slowest"], found'
