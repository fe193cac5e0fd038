"""Small statistics."""


def mean(values):
    return sum(values) / len(values)


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    if len(values) % 2 == 0:
        return (values[middle - 1] + values[middle]) / 2
    return values[middle]


def spread(values):
    return max(values) - min(values)
