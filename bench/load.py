"""A steady load: so many requests a second, half of them on connections that stay open.

Nothing is tried again: a request that fails in any way is counted, also one on a connection that
the server closed meanwhile.
"""

import http.client
import threading
import time

RATE = 200
# Enough that one slow answer does not hold up the others.
CLIENTS = 16
TIMEOUT_SECONDS = 10


class Load:
    """Runs from `with` to its end. `answers` holds (time of the end, body or None when it failed)."""

    def __init__(self, url, address, rate=RATE):
        self.host = url.removeprefix("http://").split("/")[0]
        self.address = address
        self.pause = CLIENTS / rate
        self.answers = []
        self.complaints = []
        self.latency_seconds = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, number):
        keeps_open = number % 2 == 0
        connection = None
        due = time.monotonic() + self.pause * number / CLIENTS
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += self.pause
            connection = connection or http.client.HTTPConnection(
                self.address, 80, timeout=TIMEOUT_SECONDS
            )
            began = time.monotonic()
            try:
                body = self._request(connection, keeps_open)
            except (OSError, http.client.HTTPException, ValueError) as error:
                body = None
                self.complaints.append(f"{'kept' if keeps_open else 'fresh'}: {error!r}")
            ended = time.monotonic()
            self.answers.append((ended, body))
            self.latency_seconds.append(ended - began)
            if not keeps_open or body is None:
                connection.close()
                connection = None
        if connection:
            connection.close()

    def _request(self, connection, keeps_open):
        headers = {"host": self.host}
        if not keeps_open:
            headers["connection"] = "close"
        connection.request("GET", "/", headers=headers)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        return body

    def failed(self):
        return sum(body is None for _, body in self.answers)
