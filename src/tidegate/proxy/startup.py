"""Brings up HAProxy: adopts it, starts it, or takes over from one that runs but cannot be reached.

HAProxy is reached through sockets. If their paths are gone, or an earlier version put them elsewhere, the process
serves on but receives no commands. A new process then takes over the port and leaves the old one to finish its
requests.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

from tidegate.domain.errors import StartupError, Transient
from tidegate.proxy import adoption
from tidegate.proxy.process import Master, ProxyIdentity
from tidegate.proxy.runtime import ProxySnapshot, Runtime

log = logging.getLogger(__name__)

ADOPTION_TRIES = 2
"""Attempts to reach a running process before another one replaces it."""


@dataclass(frozen=True)
class FormerProcess:
    """A process with its sockets elsewhere: their folder, and its state."""

    folder: Path | None = None
    shown: ProxySnapshot | None = None

    def redirect(self, *sockets: Path) -> None:
        """Link the former socket paths, which the former process, and replicas started by an earlier version, use."""
        if self.folder is None:
            return
        for socket in sockets:
            link = self.folder / socket.name
            with contextlib.suppress(OSError):
                link.unlink(missing_ok=True)
                link.symlink_to(socket)


async def find_running(master: Master, runtime: Runtime) -> ProxyIdentity | None:
    """Find the serving HAProxy of this folder, even if the file that identifies it is missing or damaged."""
    known = await asyncio.to_thread(master.load)
    if known is None and (ours := await asyncio.to_thread(master.candidates)):
        pid = await runtime.master_pid()
        known = master.note(pid, "") if pid is not None and pid in ours else None
    for _ in range(ADOPTION_TRIES if known is not None else 0):
        if await runtime.answers():
            return known
    return None


async def find_former(master: Master, runtime: Runtime) -> FormerProcess:
    """Find the socket folder and the state of a running process whose sockets are elsewhere. The result is empty if
    they are not."""
    known = master.identity()
    options = adoption.decode_options(known.options) if known is not None else None
    if options is None or options.admin == str(runtime.admin):
        return FormerProcess()
    admin = Path(options.admin)
    try:
        return FormerProcess(admin.parent, await Runtime(admin, runtime.master).shown())
    except Transient as error:
        log.warning("the proxy's state is unknown (%s); using the recorded one", error)
        return FormerProcess(admin.parent)


def launch(master: Master, address: tuple[str, int], takeover: bool) -> bool:
    """Start HAProxy, and return when it listens. Returns whether an old process is finishing its requests. Raises
    StartupError."""
    if takeover:
        try:
            master.take_over()
            return True
        except StartupError as error:
            log.warning("%s; restarting it, which aborts its requests in flight", error)
    master.start(address)
    return False
