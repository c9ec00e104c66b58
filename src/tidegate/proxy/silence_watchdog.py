"""Kills a HAProxy that is alive but does not answer; whoever checks that it runs then restarts it.

It takes no lock: the holder of the router's lock may itself be waiting for the silent process, and gets an error once
that is gone.
"""

import asyncio
import logging
from dataclasses import replace

from tidegate.host.aligned_pauses import align
from tidegate.proxy.process import Master
from tidegate.proxy.runtime import Runtime
from tidegate.proxy.silence import Silence, SilenceProbe, probe

log = logging.getLogger(__name__)

PROBE_EVERY = 0.5
"""Seconds between an answer and the next probe."""


class Watchdog:
    """Watches one HAProxy at a time, identified by the master's pid."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._silence = Silence()
        self._master = 0
        self._worker = 0
        """Pid that last answered on the worker's socket; 0: unknown."""
        self._task: asyncio.Task[None] | None = None

    def watch(self, master: Master) -> None:
        """Watch this process, and no other, until ``stop``."""
        self.stop()
        self._task = asyncio.create_task(self._run(master), name="haproxy's watchdog")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def look(self, master: int) -> Silence:
        """Probe master and worker once. Returns how long either has been silent."""
        if master != self._master:
            self._master, self._worker, self._silence = master, 0, Silence()
        found = await asyncio.to_thread(self._probe, master, self._worker or master)
        self._worker = found.pid or self._worker
        self._silence = self._silence.after(found)
        return self._silence

    def _probe(self, master: int, worker: int) -> SilenceProbe:
        """The worker, and if that answers the master. In one thread: this is done twice a second for ever."""
        found = probe(self._runtime.admin, "show info\n", worker)
        if found.silent:
            return found
        return replace(probe(self._runtime.master, "show proc\nquit\n", master), pid=found.pid)

    async def _run(self, master: Master) -> None:
        while True:
            try:
                await self._turn(master)
            except Exception:
                log.exception("haproxy could not be probed; retrying")
                self._silence = Silence()
            if not self._silence.total:
                await asyncio.sleep(align(PROBE_EVERY))

    async def _turn(self, master: Master) -> None:
        known = master.identity()
        if known is None:
            self._silence = Silence()
            return
        if why := (await self.look(known.pid)).reason:
            log.warning("haproxy (pid %d) %s; killing and restarting it", known.pid, why)
            await asyncio.to_thread(master.kill_with_workers, known)
            self._silence = Silence()
