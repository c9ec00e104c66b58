"""Webhooks on real sockets: who is sent to, under which name, and who is not."""

import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tidegate.domain.errors import ArtifactError, TidegateError, Transient
from tidegate.host.webhooks import SIGNATURE, Webhooks

BODY, EVENT = b"{}", "an-event"


class Receiver(http.server.ThreadingHTTPServer):
    """Notes who is asked for what; answers ``/redirect`` with the address of ``elsewhere``."""

    def __init__(self, elsewhere: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.elsewhere = elsewhere
        self.seen: list[tuple[str, str, str]] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, self.headers["Host"], self.headers[SIGNATURE]))
        self.send_response(307 if self.path == "/redirect" else 204)
        if self.path == "/redirect":
            self.send_header("Location", self.server.elsewhere)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"]
)
def test_this_machine_is_not_sent_to_under_any_name(receiver: Receiver, host: str) -> None:
    with pytest.raises(TidegateError):
        Webhooks("secret", ()).post(f"http://{host}:{receiver.port}/x", BODY, EVENT)
    assert receiver.seen == []


def test_the_refusal_names_the_setting(receiver: Receiver) -> None:
    with pytest.raises(ArtifactError, match=r"127\.0\.0\.1, which is not public.*TIDEGATE_WEBHOOK_HOSTS"):
        Webhooks("secret", ("10.0.0.0/8",)).post(f"http://localhost:{receiver.port}/x", BODY, EVENT)


@pytest.mark.parametrize("allowed", ["localhost", "127.0.0.0/8", "127.0.0.1"])
def test_what_is_listed_is_sent_to_under_its_own_name(
    receiver: Receiver, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolving(monkeypatch, "127.0.0.1")
    Webhooks("secret", (allowed,)).post(f"http://localhost:{receiver.port}/x?y=1", BODY, EVENT)
    ((path, host, signature),) = receiver.seen
    assert (path, host) == ("/x?y=1", f"localhost:{receiver.port}")
    assert signature.startswith("sha256=")


def test_a_name_that_changes_after_the_check_gains_nothing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked up once, and what was checked is connected to: 192.0.2.1 is nobody's."""
    looked = _resolving(monkeypatch, "127.0.0.1", "192.0.2.1")
    Webhooks("secret", ("127.0.0.1",)).post(f"http://hook.example:{receiver.port}/x", BODY, EVENT)
    assert [host for _, host, _ in receiver.seen] == [f"hook.example:{receiver.port}"]
    assert looked.count("hook.example") == 1


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.elsewhere = f"http://127.0.0.1:{receiver.port}/elsewhere"
    with pytest.raises(Transient, match="answered 307"):
        Webhooks("secret", ("127.0.0.1",)).post(f"http://127.0.0.1:{receiver.port}/redirect", BODY, EVENT)
    assert [path for path, *_ in receiver.seen] == ["/redirect"]


def test_without_a_secret_nothing_is_sent(receiver: Receiver) -> None:
    with pytest.raises(ArtifactError, match="TIDEGATE_WEBHOOK_SECRET"):
        Webhooks("", ("127.0.0.1",)).post(f"http://127.0.0.1:{receiver.port}/x", BODY, EVENT)


def _resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Names mean these addresses, one lookup after the other. Returns the list of what is looked up."""
    looked: list[str] = []
    real = socket.getaddrinfo

    def found(host: Any, *more: Any, **named: Any) -> Any:
        if str(host).replace(".", "").isdigit():
            return real(host, *more, **named)
        looked.append(str(host))
        return real(answers[min(len(looked), len(answers)) - 1], *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return looked
