"""Where copies of requests are sent: to the proxy of this machine, or back to the gateway that sent the request."""

from tidegate.http1.client import HttpClient
from tidegate.serving.contract.replica_spec import ShadowCopies

MOST = 32
"""Gateways whose connections are kept; those that sent nothing for the longest time are forgotten."""


class CopyClients:
    """``limit``: most bytes of an answer."""

    def __init__(self, spec: ShadowCopies, limit: int) -> None:
        self._port = spec.port
        self._limit = limit
        self._own = HttpClient(spec.socket, limit) if spec.socket else None
        self._gateways: dict[str, HttpClient] = {}

    def choose(self, peer: str) -> HttpClient | None:
        """``peer``: the address that the request came from. None: it is not known."""
        if self._own is not None or not peer:
            return self._own
        client = self._gateways.pop(peer, None)
        if client is None:
            client = HttpClient((peer, self._port), self._limit)
            while len(self._gateways) >= MOST:
                self._gateways.pop(next(iter(self._gateways))).close()
        self._gateways[peer] = client
        return client

    def close(self) -> None:
        for client in (self._own, *self._gateways.values()):
            if client is not None:
                client.close()
