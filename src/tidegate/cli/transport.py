"""HTTP of the commands, on the standard library: one connection per request, errors in one line.

httpx takes 80 ms of processor time to import, more than a command needs for all of its work.
"""

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tidegate.domain.errors import Unavailable

PART = 64 * 1024
"""Bytes of a stream that are read at once, at most."""


class ServerNotRunning(Unavailable):
    """No process listens at the server's address."""


@dataclass(frozen=True)
class ServerAnswer:
    """A response; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class StreamedAnswer:
    """A response whose body is read as it arrives."""

    status: int
    headers: Mapping[str, str]
    response: http.client.HTTPResponse

    def parts(self) -> Iterator[bytes]:
        while part := self.response.read1(PART):
            yield part

    def read(self) -> ServerAnswer:
        return ServerAnswer(self.status, self.headers, self.response.read())


def request(
    method: str, url: str, body: bytes, headers: Mapping[str, str], *, server: str, timeout: float
) -> ServerAnswer:
    """``server`` is how messages name it, ``timeout`` seconds without any progress. Raises Unavailable."""
    with stream(method, url, body, headers, server=server, timeout=timeout) as answer:
        return answer.read()


@contextmanager
def stream(
    method: str, url: str, body: bytes, headers: Mapping[str, str], *, server: str, timeout: float
) -> Iterator[StreamedAnswer]:
    """Like ``request``, with the body still to be read."""
    connection = _connection(url, timeout)
    try:
        with _one_line_errors(server, timeout):
            _connect(connection, server)
            target = urlsplit(url)._replace(scheme="", netloc="").geturl() or "/"
            connection.request(method, target, body or None, dict(headers))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            yield StreamedAnswer(response.status, found, response)
    finally:
        connection.close()


def _connection(url: str, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    assert parts.hostname is not None
    if parts.scheme == "https":
        return http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=timeout, context=ssl.create_default_context()
        )
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)


def _connect(connection: http.client.HTTPConnection, server: str) -> None:
    try:
        connection.connect()
    except TimeoutError:
        raise
    except ssl.SSLError as error:
        raise Unavailable(f"{server}: {error.reason or error}: check its certificate, or SSL_CERT_FILE") from None
    except (OSError, socket.gaierror):
        raise ServerNotRunning(
            f"nothing answers at {server}: start it with 'tidegate up', or set TIDEGATE_URL"
        ) from None


@contextmanager
def _one_line_errors(server: str, timeout: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise Unavailable(f"no answer from {server} within {timeout:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{server}: {error or type(error).__name__}") from None
