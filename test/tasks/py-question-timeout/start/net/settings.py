import os

from net import defaults


class Settings:
    def __init__(self, first_byte, total):
        self.first_byte = first_byte
        self.total = total

    @classmethod
    def load(cls, env=os.environ):
        total = float(env.get("NET_TOTAL", defaults.TOTAL))
        # Half of the time may pass before anything comes.
        first = env.get("NET_FIRST_BYTE")
        return cls(float(first) if first else total / 2, total)
