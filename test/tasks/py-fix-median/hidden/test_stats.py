from stats import mean, median, spread

assert mean([1, 2, 6]) == 3
assert median([3, 1, 2]) == 2
assert median([4, 1, 3, 2]) == 2.5, "the median of an even number of values is the mean of the middle two"
given = [3, 1, 2]
median(given)
assert given == [3, 1, 2], "median must not change the caller's list"
assert spread([2, 9, 4]) == 7
print("ok")
