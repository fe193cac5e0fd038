set -e
! grep -rnw calc_total --include='*.py' --include='*.md' . | grep -v 'selftest.py'
grep -q 'def recalc_totals' shop/orders.py && grep -q 'recalc_totals(orders)' README.md && grep -q 'order_total(lines)' README.md
python3 -c "
import shop, shop.orders, shop.report
assert shop.order_total([(2, 3)]) == 6 and not hasattr(shop.orders, 'calc_total')
assert shop.report.report([[(1, 1)]]) == '1.00\nsum 1.00'"
