import shop
from shop.report import report

total = getattr(shop, "order_total", None) or shop.calc_total
assert total([(2.5, 2), (1, 3)]) == 8
assert report([[(1, 1)], [(2, 2)]]).endswith("sum 5.00")
print("ok")
