from net.settings import Settings


class Client:
    def __init__(self, settings=None):
        self.settings = settings or Settings.load()

    def fetch(self, url, timeout=None):
        wait = timeout if timeout is not None else self.settings.first_byte
        return self._open(url, wait)

    def _open(self, url, wait):
        raise NotImplementedError(url, wait)
