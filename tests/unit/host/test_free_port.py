"""Ports of platforms that tests and rehearsals start."""

import socket
from itertools import count
from pathlib import Path

import pytest

from tidegate.host import platform


@pytest.mark.parametrize("first", [10_010, 32_768])
def test_no_connection_of_another_program_gets_the_port(
    first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "OUTGOING", tmp_path / "range")
    monkeypatch.setattr(platform, "FIRST_PORT", 5_000)
    platform.OUTGOING.write_text(f"{first}\t60999\n")
    found = [platform.free_port() for _ in range(20)]
    assert all(5_000 <= port < first for port in found) and len(set(found)) > 1


def test_a_port_that_is_taken_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "OUTGOING", tmp_path / "range")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(platform, "FIRST_PORT", port)
        draws = count()
        monkeypatch.setattr("secrets.randbelow", lambda _: next(draws))
        platform.OUTGOING.write_text(f"{2 * port + 1}\t{3 * port}\n")
        assert port < platform.free_port() < 2 * port


@pytest.mark.parametrize("text", [None, "1024\t65535\n"])
def test_any_port_will_do_where_the_kernel_gives_all_to_connections(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "OUTGOING", tmp_path / "range")
    if text is not None:
        platform.OUTGOING.write_text(text)
    assert platform.free_port() > 0
