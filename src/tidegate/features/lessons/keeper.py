"""Keeps what runs as the records of live runs say: sends requests, ends what is over, removes what is ending.

A record is written first, so that a server that is started again goes on where the last one was.
"""

import asyncio
import contextlib
import logging
import re
import shutil
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from tidegate.auth.keys import role_of_key
from tidegate.domain.access import ANYBODY, Access, Caller, Means
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid, NotAllowed, TidegateError, Transient, Unavailable
from tidegate.features.lessons import run_service as live_runs
from tidegate.features.lessons.run_records import Beginner, LiveRun
from tidegate.features.lessons.traffic import Counts, TrafficSender, read_samples
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.deployments import begin_deployment
from tidegate.service.audit_trail import RequestedOperation
from tidegate.service.deploy import DeployOptions, DeployResult
from tidegate.targets.containers import LIVE_RUNS as FOLDER

log = logging.getLogger(__name__)

NAME = re.compile(r"[a-z][a-z0-9-]*")
EVERY = 1.0
"""Seconds between two looks at the records while a run is open; without one the keeper sleeps."""
RECORDS = "records"
"""The name under which trouble is logged that is not one run's."""
SERVER = "the server"
"""Who ends a run that has lasted as long as it may."""

RIGHTS_GONE = "whoever began it has no longer the right to"


class RunPlayer(Protocol):
    """Does what a run shows."""

    def play(self, run: LiveRun, /) -> Awaitable[None]:
        """Continue the run. Called each second while it is open and not ending."""

    def revoke(self, run: LiveRun, /) -> Awaitable[None]:
        """Record the end of a run that is ended because whoever began it has lost the right to it. Called before it
        is ended."""

    def remove(self, run: LiveRun, /) -> Awaitable[None]:
        """Remove what a run has left. Called once its records are gone, before its folder goes and it has ended;
        perhaps again."""


@dataclass
class LiveRuns:
    """The live runs of one server."""

    gateway: Gateway
    player: RunPlayer | None = None
    _senders: dict[str, TrafficSender] = field(default_factory=dict)
    _leaving: list[TrafficSender] = field(default_factory=list)
    """They send no more and wait for answers."""
    _counts: dict[str, Counts] = field(default_factory=dict)
    _troubles: dict[str, str] = field(default_factory=dict)
    _following: asyncio.Lock = field(default_factory=asyncio.Lock)
    _awake: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Check at once which runs are open, and go on for as long as one is."""
        self._awake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Send nothing more; the records stay as they are."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def folder(self, what: str) -> Path:
        """Return the folder of the run's files, which is removed when the run has ended. Raises Invalid for a name
        that is none of a folder in there, as in a record that somebody else wrote."""
        if not NAME.fullmatch(what):
            raise Invalid(f"a live run cannot be named {what[:40]!r}")
        return self.gateway.settings.state.expanduser().absolute() / FOLDER / what

    def counts(self, what: str) -> Counts:
        """Return counts of the present run's requests, as far as this process sent them."""
        return self._counts.get(what, Counts())

    def is_sending(self, what: str) -> bool:
        return what in self._senders and self._senders[what].sending

    async def find(self, what: str) -> LiveRun | None:
        return await self.gateway.context.store.read(lambda tx: live_runs.find(tx, what))

    async def begin(
        self, what: str, endpoint: str, by: str, lasting: timedelta, caller: Caller = ANYBODY
    ) -> LiveRun:
        """Begin a run, with an empty folder. It lasts no longer than the caller's rights do. Raises Conflict while
        one is open, or if the endpoint's name is taken."""
        now = self.gateway.context.clock.now()
        run = LiveRun(
            *(what, self.gateway.context.ids.new(what), endpoint, by, now, now + lasting),
            beginner=Beginner(caller.name, caller.means, caller.token),
        )
        await self.gateway.context.store.run(lambda tx: live_runs.begin(tx, run))
        try:
            await asyncio.to_thread(_make_empty, self.folder(what))
        except OSError as error:
            await self.end(what, SERVER)
            raise Transient(f"{self.folder(what)} cannot be made: {error.strerror or error}") from None
        self._counts[what] = Counts()
        self.start()
        return run

    async def deploy(self, what: str, desired: DesiredDeployment, options: DeployOptions) -> DeployResult:
        """Deploy to the run's endpoint. Raises what ``service.deploy`` raises, and Conflict for an endpoint of
        somebody else's."""
        context = self.gateway.context
        work = partial(live_runs.deploy, what=what)
        return await begin_deployment(context, work, desired, options, context.clock.now())

    async def expect_deployments(self, what: str, desired: Sequence[DesiredDeployment]) -> None:
        """Note what others may deploy to the run's endpoint by a command."""
        now = self.gateway.context.clock.now()
        await self.gateway.context.store.run(lambda tx: live_runs.expect_deployments(tx, what, desired, now))

    async def send(self, what: str, rate: float, seconds: float, requests: str = "requests.jsonl") -> LiveRun:
        """Send requests from now on, in place of what is sent. Raises Invalid without any in the file."""
        now = self.gateway.context.clock.now()
        await asyncio.to_thread(read_samples, self.folder(what) / requests)
        run = await self.gateway.context.store.run(
            lambda tx: live_runs.send(tx, what, rate, seconds, now, requests)
        )
        await self._follow(what)
        return run

    async def halt(self, what: str) -> None:
        now = self.gateway.context.clock.now()
        await self.gateway.context.store.run(lambda tx: live_runs.halt(tx, what, now))
        await self._follow(what)

    async def end(self, what: str, by: str) -> None:
        """Begin to remove all that it made. Raises NotFound if it is not open."""
        now = self.gateway.context.clock.now()
        await self.gateway.context.store.run(lambda tx: live_runs.ask_to_end(tx, what, by, now))
        await self._follow(what)
        self.start()

    async def _run(self) -> None:
        stopping = self.gateway.stopping
        try:
            while not stopping.is_set():
                self._awake.clear()
                try:
                    some = await self.turn()
                except TidegateError as error:
                    self._tell(RECORDS, str(error))
                    some = True
                except Exception:
                    log.exception("a turn of live runs failed; it goes on with the next")
                    some = True
                await self._wait(EVERY if some else None)
        finally:
            senders, self._senders = [*self._senders.values(), *self._leaving], {}
            await asyncio.gather(*(sender.give_up() for sender in senders))

    async def _wait(self, seconds: float | None) -> None:
        """Wait until there is something to do, or the server stops."""
        waits = [asyncio.ensure_future(one.wait()) for one in (self.gateway.stopping, self._awake)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()

    async def turn(self) -> bool:
        """Check all runs once. Returns whether one is open."""
        store, now = self.gateway.context.store, self.gateway.context.clock.now()
        found = await store.read(live_runs.find_open)
        for what in self._senders.keys() - {run.what for run in found}:
            await self._stop_sending(what)
        for run in found:
            try:
                await self._keep(run, now)
            except (TidegateError, OSError) as error:
                self._tell(run.what, str(error))
            except Exception:
                log.exception("live run %s: a turn failed; it goes on with the next", run.what)
            else:
                self._troubles.pop(run.what, None)
        return bool(found)

    async def _keep(self, run: LiveRun, now: datetime) -> None:
        if not run.ending and run.is_over(now):
            run = await self.gateway.context.store.run(lambda tx: live_runs.ask_to_end(tx, run.what, SERVER, now))
        try:
            if not run.ending and not await self._has_rights(run, now):
                run = await self._revoke(run, now)
            if not run.ending:
                await self.gateway.context.store.run(lambda tx: live_runs.note_endpoint(tx, run.what, now))
            if not run.ending and self.player is not None:
                await self.player.play(run)
        finally:  # what is sent is bounded whatever a turn comes upon
            await self._follow(run.what)
        if run.ending:
            await self._remove(run, now)

    async def _has_rights(self, run: LiveRun, now: datetime) -> bool:
        """Whether whoever began the run might begin it now. Raises Unavailable."""
        gateway, who = self.gateway, run.beginner
        if not gateway.signed:
            return True
        if who is None:
            return False
        if who.means is Means.KEY:
            known = who.name in gateway.settings.access_keys
            role = role_of_key(gateway.settings, who.name) if known else None
        else:
            role = await gateway.logins.find_role(who.name, who.means, who.token, now)
        return Caller(role=role).may(Access.CHANGE)

    async def _revoke(self, run: LiveRun, now: datetime) -> LiveRun:
        """End it, with its cleaning up, and record that it was refused to go on. It ends whatever is wrong with what
        is kept of it."""
        who = run.beginner or Beginner(run.by, Means.NONE)
        doing = RequestedOperation(
            Caller(who.name, None, who.means, who.token), Access.CHANGE, f"live run {run.what}", run.endpoint
        )
        await self.gateway.trail.note_refusal(doing, NotAllowed(f"{RIGHTS_GONE}: the run is ended"))
        if self.player is not None:
            try:
                await self.player.revoke(run)
            except Unavailable:
                raise  # nor can its end be written
            except Exception:
                log.exception("live run %s: that it is ended cannot be noted with it", run.what)
        return await self.gateway.context.store.run(lambda tx: live_runs.ask_to_end(tx, run.what, SERVER, now))

    def _tell(self, what: str, trouble: str) -> None:
        """Log a run's trouble once, not each second."""
        if self._troubles.get(what) != trouble:
            log.warning("live run %s: %s", what, trouble)
        self._troubles[what] = trouble

    async def _follow(self, what: str) -> None:
        """Send what the record asks for now, and nothing else: the record is read again, since others may wait here
        with an older one."""
        async with self._following:
            context = self.gateway.context
            now = context.clock.now()
            found = await context.store.run(lambda tx: live_runs.find_allowed(tx, what, now))
            run, desired = found or (None, None)
            sender = self._senders.get(what)
            if sender is not None and sender.traffic != desired:
                await self._stop_sending(what)
                sender = None
            if run is None or desired is None or sender is not None:
                return
            samples = await asyncio.to_thread(read_samples, self.folder(what) / desired.requests)
            counts = self._counts.setdefault(what, Counts())
            self._senders[what] = TrafficSender(
                self.gateway.predict, context.clock.now, run.endpoint, desired, samples, counts
            )

    async def _stop_sending(self, what: str) -> None:
        sender = self._senders.pop(what, None)
        if sender is not None:
            await sender.stop()
            self._leaving = [one for one in (*self._leaving, sender) if one.waiting]

    async def _remove(self, run: LiveRun, now: datetime) -> None:
        store = self.gateway.context.store
        gone = await store.run(lambda tx: live_runs.remove_some(tx, run.what, now))
        self.gateway.context.kick(run.endpoint)
        if gone:
            if self.player is not None:
                await self.player.remove(run)
            await asyncio.to_thread(remove_folder, self.folder(run.what))
            await store.run(lambda tx: live_runs.mark_ended(tx, run.what, now))
            self._counts.pop(run.what, None)


def remove_folder(folder: Path) -> None:
    """Remove a run's folder. Raises Transient if something of it is left."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise Transient(f"{folder} cannot be removed: see who owns it, or whether something still writes there")


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
