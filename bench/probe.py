"""One caller that asks again and again and notes when each version answered: sees a switch at once."""

import http.client
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Probe:
    """``seen`` holds (epoch seconds of the answer, status, EndpointConfigName), in order."""

    url: str
    """``http://HOST:PORT``."""
    endpoint: str
    body: bytes
    pause: float = 0.001
    """Seconds between an answer and the next request."""
    seen: list[tuple[float, int, str]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Probe":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def last(self, config: str) -> float:
        """When this version answered last; 0 when it never did."""
        return max((at for at, _, who in self.seen if who == config), default=0.0)

    def failures(self) -> list[tuple[float, int, str]]:
        return [entry for entry in self.seen if entry[1] != 200]

    def _run(self) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=70)
        path = f"/endpoints/{self.endpoint}/invocations"
        while not self._stop.is_set():
            connection.request("POST", path, self.body, {"Content-Type": "text/csv"})
            answer = connection.getresponse()
            answer.read()
            self.seen.append((time.time(), answer.status, answer.headers.get("x-tidegate-config", "")))
            time.sleep(self.pause)
