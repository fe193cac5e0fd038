"""Roman numerals from 1 to 3999."""

_PAIRS = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),
          (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]


def to_roman(n):
    if not isinstance(n, int) or not 1 <= n <= 3999:
        raise ValueError(f"no Roman numeral for {n!r}")
    text = ""
    for value, letters in _PAIRS:
        while n >= value:
            text += letters
            n -= value
    return text


def from_roman(text):
    total, rest = 0, text
    for value, letters in _PAIRS:
        while rest.startswith(letters):
            total += value
            rest = rest[len(letters):]
    if rest or not 1 <= total <= 3999 or to_roman(total) != text:
        raise ValueError(f"not a Roman numeral: {text!r}")
    return total
