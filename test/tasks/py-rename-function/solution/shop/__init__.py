from .orders import order_total
