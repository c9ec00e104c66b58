"""The command of the container engine of this machine: podman, or Docker where there is no podman."""

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tidegate.domain.errors import Invalid, Transient

NAMES = ("podman", "docker")
"""In the order in which they are looked for."""
OWNER = "tidegate.installation"
"""Label of a container: the installation whose it is."""
WORKER = "tidegate.worker"
"""Label of a container: the process that it ends with, by its pid and its start (``identify_process``)."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIMEOUT = 60.0
"""Seconds for a command that reads or removes."""
_QUIET = {"PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}


@dataclass(frozen=True)
class EngineReply:
    """Exit code and output of a command of the engine."""

    code: int
    output: str
    errors: str

    @property
    def why(self) -> str:
        """The last line of its errors, without the engine's word before it."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        return lines[-1].removeprefix("Error: ").removeprefix("docker: ") if lines else f"exit code {self.code}"


@dataclass(frozen=True)
class ContainerEngine:
    """``name``: podman or docker."""

    name: str
    path: str

    @property
    def is_podman(self) -> bool:
        return self.name == "podman"

    async def run(self, *words: str, seconds: float = _TIMEOUT) -> EngineReply:
        """Run a command to its end. Raises Transient for one that takes too long."""
        process = await asyncio.create_subprocess_exec(
            self.path,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=command_environment(os.environ),
        )
        try:
            async with asyncio.timeout(seconds):
                output, errors = await process.communicate()
        except TimeoutError:
            raise Transient(f"{self.name} {words[0]} did not end within {seconds:g} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        code = process.returncode
        return EngineReply(-1 if code is None else code, _decode(output), _decode(errors))

    def removal(self, name: str) -> tuple[str, ...]:
        """The command that kills and removes a container at once; none of that name is no error."""
        quick = ("--time", "0", "--ignore") if self.is_podman else ()
        return (self.path, "rm", "--force", *quick, name)


def find_engine(search: str | None = None) -> ContainerEngine:
    """Find the engine. Raises Invalid, which names the package, where there is none. ``search``: a PATH."""
    for name in NAMES:
        if (path := shutil.which(name, path=search)) is not None:
            return ContainerEngine(name, path)
    package = "podman" if sys.platform == "linux" else "podman (and run `podman machine start`)"
    raise Invalid(
        f"this machine has no container engine: install the package {package}, or docker (docker.io on Debian)"
    )


def command_environment(server: Mapping[str, str]) -> dict[str, str]:
    """The environment of the engine's command: this process's, and nothing of a model's."""
    return {**server, **_QUIET}


def identify_process(pid: int) -> str:
    """A text that no other process has, of this or another boot; empty for a process that has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()
        return "" if words[0] in "ZX" else f"{pid}.{words[19]}.{BOOT_ID.read_text().strip()}"
    except (OSError, IndexError):
        return ""


class ContainerState(msgspec.Struct, rename="pascal"):
    """``State`` of ``inspect``, as far as it is used."""

    status: str = ""
    exit_code: int = 0
    oom_killed: bool = msgspec.field(default=False, name="OOMKilled")
    error: str = ""
    pid: int = 0


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace").strip()
