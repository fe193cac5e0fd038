# TOTAL was 30 before 2.0.
TOTAL = 90
FIRST_BYTE = 30  # unused since 2.1
