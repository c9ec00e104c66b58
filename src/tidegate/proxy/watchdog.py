"""Ends a HAProxy that is alive and silent; whoever looks whether it lives then starts it again.

It takes no lock: who holds the router's lock may itself be waiting for the silent process, and gets an error as soon
as that is gone.
"""

import asyncio
import logging

from tidegate.proxy.process import Master
from tidegate.proxy.runtime import Runtime
from tidegate.proxy.silence import Silence, probe

log = logging.getLogger(__name__)

PROBE_EVERY = 0.5
"""Seconds between an answer and the next probe."""


class Watchdog:
    """Follows one HAProxy at a time: another pid of the master is another HAProxy."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._silence = Silence()
        self._master = 0
        self._worker = 0
        """The process that answered last on the socket of the worker; 0: not known."""
        self._task: asyncio.Task[None] | None = None

    def watch(self, master: Master) -> None:
        """Looks at this one, and at no other, until ``stop``."""
        self.stop()
        self._task = asyncio.create_task(self._run(master), name="haproxy's watchdog")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def look(self, master: int) -> Silence:
        """Asks master and worker once. Returns how long either has been silent."""
        if master != self._master:
            self._master, self._worker, self._silence = master, 0, Silence()
        worker, own = await asyncio.gather(
            asyncio.to_thread(probe, self._runtime.admin, "show info\n", self._worker or master),
            asyncio.to_thread(probe, self._runtime.master, "show proc\nquit\n", master),
        )
        self._worker = worker.pid or self._worker
        self._silence = self._silence.after(worker if worker.silent else own)
        return self._silence

    async def _run(self, master: Master) -> None:
        while True:
            try:
                await self._turn(master)
            except Exception:
                log.exception("haproxy could not be probed; trying again")
                self._silence = Silence()
            if not self._silence.total:
                await asyncio.sleep(PROBE_EVERY)

    async def _turn(self, master: Master) -> None:
        known = master.identity()
        if known is None:
            self._silence = Silence()
            return
        if why := (await self.look(known.pid)).reason:
            log.warning("haproxy (pid %d) %s; killing it, and starting another", known.pid, why)
            await asyncio.to_thread(master.kill_with_workers, known)
            self._silence = Silence()
