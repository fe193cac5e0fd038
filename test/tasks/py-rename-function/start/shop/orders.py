"""Orders."""


def calc_total(lines):
    """Sum of price times count; calc_total([]) is 0."""
    return sum(price * count for price, count in lines)


def recalc_totals(orders):
    return [calc_total(lines) for lines in orders]
