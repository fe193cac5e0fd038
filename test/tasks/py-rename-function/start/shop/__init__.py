from .orders import calc_total
