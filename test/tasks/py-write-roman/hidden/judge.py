import sys
sys.path.insert(0, "/work")
from roman import to_roman, from_roman
for n, text in [(1, "I"), (4, "IV"), (9, "IX"), (14, "XIV"), (40, "XL"), (90, "XC"), (400, "CD"), (1994, "MCMXCIV"), (3999, "MMMCMXCIX")]:
    assert to_roman(n) == text, (n, to_roman(n))
for n in range(1, 4000):
    assert from_roman(to_roman(n)) == n, n
for wrong in (0, 4000, -1):
    try:
        to_roman(wrong)
    except ValueError:
        continue
    raise AssertionError(wrong)
for wrong in ("IIII", "VX", "IC", "", "ABC", "MMMM", "iv "):
    try:
        from_roman(wrong)
    except ValueError:
        continue
    raise AssertionError(wrong)
