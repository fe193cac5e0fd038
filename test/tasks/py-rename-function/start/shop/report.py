from shop.orders import calc_total, recalc_totals


def report(orders):
    lines = [f"{calc_total(order):.2f}" for order in orders]
    return "\n".join(lines + [f"sum {sum(recalc_totals(orders)):.2f}"])
