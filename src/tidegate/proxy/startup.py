"""How HAProxy comes to run: adopted, started, or taking over from one that is there and cannot be reached any more.

It is reached through sockets. When their paths are gone, or lay elsewhere under an earlier version, the process
serves on but hears nothing. Another one then takes the port from it and leaves it to finish what it has.
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
"""How often a process that is there and does not answer is asked before another takes its place."""


@dataclass(frozen=True)
class FormerProcess:
    """What is known of a process that has its sockets elsewhere: their folder, and what it shows."""

    folder: Path | None = None
    shown: ProxySnapshot | None = None

    def redirect(self, *sockets: Path) -> None:
        """Replicas that were started by an earlier version know the sockets by their former paths."""
        if self.folder is None:
            return
        for socket in sockets:
            link = self.folder / socket.name
            with contextlib.suppress(OSError):
                link.unlink(missing_ok=True)
                link.symlink_to(socket)


async def find_running(master: Master, runtime: Runtime) -> ProxyIdentity | None:
    """The HAProxy of this folder that serves, also where the file that names it is missing or damaged."""
    known = await asyncio.to_thread(master.load)
    if known is None and (ours := await asyncio.to_thread(master.candidates)):
        pid = await runtime.master_pid()
        known = master.note(pid, "") if pid is not None and pid in ours else None
    for _ in range(ADOPTION_TRIES if known is not None else 0):
        if await runtime.answers():
            return known
    return None


async def find_former(master: Master, runtime: Runtime) -> FormerProcess:
    """Where the process that runs has its sockets, if that is elsewhere."""
    known = master.identity()
    options = adoption.decode_options(known.options) if known is not None else None
    if options is None or options.admin == str(runtime.admin):
        return FormerProcess()
    admin = Path(options.admin)
    try:
        return FormerProcess(admin.parent, await Runtime(admin, runtime.master).shown())
    except Transient as error:
        log.warning("what the proxy has is not known (%s); taking what is recorded", error)
        return FormerProcess(admin.parent)


def launch(master: Master, address: tuple[str, int], takeover: bool) -> bool:
    """Returns when HAProxy listens, and whether another one goes on with the requests that it had. Raises
    StartupError."""
    if takeover:
        try:
            master.take_over()
            return True
        except StartupError as error:
            log.warning("%s; restarting it, which breaks off what it has in hand", error)
    master.start(address)
    return False
