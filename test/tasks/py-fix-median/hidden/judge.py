import sys
sys.path.insert(0, "/work")
from stats import median, mean, spread
assert median([5]) == 5 and median([1, 2]) == 1.5 and median([7, 1, 5, 3]) == 4
assert median((3, 1, 2)) == 2, "a tuple is a sequence of values too"
assert mean([2, 4]) == 3 and spread([1]) == 0
