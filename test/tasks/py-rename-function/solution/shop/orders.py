"""Orders."""


def order_total(lines):
    """Sum of price times count; order_total([]) is 0."""
    return sum(price * count for price, count in lines)


def recalc_totals(orders):
    return [order_total(lines) for lines in orders]
