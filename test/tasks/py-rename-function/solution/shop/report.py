from shop.orders import order_total, recalc_totals


def report(orders):
    lines = [f"{order_total(order):.2f}" for order in orders]
    return "\n".join(lines + [f"sum {sum(recalc_totals(orders)):.2f}"])
