"""Runs the live challenges, one at a time: looks each second, asks what follows, and does it as an API call does."""

import asyncio
import contextlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tidegate import spec
from tidegate.domain.errors import Conflict, InProgress, NotFound, TidegateError, Transient, Unavailable
from tidegate.domain.targets import LOCAL
from tidegate.features.lessons import challenge_service as live_challenges
from tidegate.features.lessons import run_service as live_runs
from tidegate.features.lessons.challenge_records import LiveChallenge, Verdict
from tidegate.features.lessons.live_challenges.look import Look, look
from tidegate.features.lessons.live_challenges.picture import Ticks, make_picture
from tidegate.features.lessons.live_challenges.progress import (
    Act,
    Challenge,
    Deploy,
    Halt,
    Judgement,
    Progress,
    Send,
    advance,
)
from tidegate.features.lessons.live_challenges.specs import (
    NAMES,
    Places,
    describe_files,
    describe_spec,
    find_challenge,
)
from tidegate.features.lessons.live_runs.keeper import RIGHTS_GONE, LiveRuns, remove_folder
from tidegate.features.lessons.run_records import LiveRun, Phase
from tidegate.gateway.dependencies import Gateway
from tidegate.ports.store import Tx
from tidegate.service import rollouts
from tidegate.service.audit_trail import Doing
from tidegate.service.deploy import DeployOptions

SPARE = timedelta(minutes=5)
"""Beyond what the stages of a challenge may take; the run then ends whatever happens."""
LIBRARY = "xgboost"
ENDED_EARLY = "it lasted longer than it may, or the machine slept meanwhile: run it once more"
AFTER_RESTART = "the server was started again on the way, and the counts before it are lost: run it once more"


@dataclass
class Running:
    """A challenge that this process runs. ``doing``: by whom and from where, for the audit."""

    run: LiveRun
    challenge: Challenge
    doing: Doing
    progress: Progress
    versions: dict[str, str] = field(default_factory=dict)
    """Config -> version."""
    ticks: Ticks = field(default_factory=Ticks)
    look: Look | None = None


@dataclass(frozen=True)
class Seen:
    """The latest run of a challenge, or None; whether what it made is not yet all gone; another challenge that is
    under way, or empty."""

    found: LiveChallenge | None
    removing: bool
    other: str


@dataclass
class LiveChallenges:
    """One of a server. ``library``: whether the runtime of the challenges' model is installed."""

    gateway: Gateway
    runs: LiveRuns
    library: bool = field(default_factory=lambda: importlib.util.find_spec(LIBRARY) is not None)
    _running: Running | None = None
    _beginning: bool = False
    _turns: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        for name in NAMES:
            self.runs.turns[name] = self._turn
            self.runs.removals[name] = self._remove_captures
            self.runs.revocations[name] = self._revoke

    def describe_obstacle(self) -> str:
        """Why this server can run none; empty if it can."""
        if LOCAL not in self.gateway.context.targets.capabilities:
            return "this server has no local target, and a live challenge runs on the server's own machine alone"
        if not self.library:
            return "the runtime of the challenges' model is not installed: pip install 'tidegate[xgboost]'"
        return ""

    async def see(self, name: str) -> Seen:
        def read(tx: Tx) -> tuple[LiveChallenge | None, list[LiveRun]]:
            return live_challenges.find(tx, name), [run for run in live_runs.find_open(tx) if run.what in NAMES]

        found, open_runs = await self.gateway.context.store.run(read)
        mine = next((run for run in open_runs if run.what == name), None)
        others = [run.what for run in open_runs if run.what != name]
        return Seen(self._complete(found, mine), mine is not None and mine.ending, others[0] if others else "")

    def _complete(self, found: LiveChallenge | None, run: LiveRun | None) -> LiveChallenge | None:
        """With what is seen of it now. One whose run is over without a verdict was interrupted."""
        if found is None or found.verdict is not None:
            return found
        mine = self._running if self._running is not None and self._running.run.id == found.run else None
        if mine is not None and mine.look is not None:
            found = replace(found, picture=self._picture(mine))
        if run is None or run.id != found.run or run.ending:
            said = AFTER_RESTART if mine is None else ENDED_EARLY
            return replace(found, verdict=Verdict.INTERRUPTED, said=said)
        return found

    async def begin(self, name: str, doing: Doing, by: str) -> LiveChallenge:
        """Raises NotFound for an unknown challenge, Conflict where this server cannot run one or one is running, and
        LimitExceeded where its instances do not fit. After any of these nothing is left behind."""
        challenge = find_challenge(name, self.gateway.settings.capture_seconds)
        if obstacle := self.describe_obstacle():
            raise Conflict(obstacle)
        if self._beginning:
            raise InProgress("another challenge is being started: one at a time runs on a server")
        self._beginning = True
        try:
            return await self._begin(challenge, doing, by)
        finally:
            self._beginning = False

    async def _begin(self, challenge: Challenge, doing: Doing, by: str) -> LiveChallenge:
        context, name = self.gateway.context, challenge.name
        can = context.targets.of(LOCAL)

        def check(tx: Tx) -> None:
            open_runs = [run.what for run in live_runs.find_open(tx)] + live_runs.find_unreadable(tx)
            if others := [what for what in open_runs if what in NAMES]:
                raise InProgress(
                    f"the challenge {others[0]!r} is under way, or is being removed: one at a time runs on a server"
                )
            live_challenges.require_room(tx, challenge.instances, can)

        await context.store.run(check)
        endpoint = f"tidegate-live-{name}-{context.ids.new(name)[-8:]}"
        run = await self.runs.begin(name, endpoint, by, timedelta(seconds=challenge.longest) + SPARE, doing.caller)
        began = context.clock.now()
        mine = Running(
            run,
            challenge,
            replace(doing, about=endpoint, action=f"challenge {name}"),
            Progress(began.timestamp(), began.timestamp()),
        )
        shown = LiveChallenge(name, run.id, endpoint, by, began)
        try:
            await asyncio.to_thread(_write, self.runs.folder(name), describe_files(challenge))
            await context.store.run(lambda tx: live_challenges.keep(tx, shown, began))
            await self._deploy(mine, Deploy(next(iter(challenge.versions))))
        except BaseException as error:
            said = error.message if isinstance(error, TidegateError) else "it could not be begun"
            await self._end(mine, Judgement(Verdict.FAILED, said), by)
            raise
        self._running = mine
        return shown

    async def stop(self, name: str, by: str, run_id: str | None = None) -> None:
        """End it, or remove what is left of it. ``run_id``: the run that is meant; None is any. Raises NotFound for a
        challenge that there is not or that is not under way, Conflict for another run than the one that is meant."""
        find_challenge(name, self.gateway.settings.capture_seconds)
        async with self._turns:
            run = await self.runs.find(name)
            if run is not None and run_id is not None and run_id != run.id:
                raise Conflict("this is another run than the one that the page showed: look at it again")
            mine = self._running
            if run is not None and mine is not None and mine.run.id == run.id:
                await self._end(mine, Judgement(Verdict.STOPPED, f"stopped by {by}"), by)
                return
            await self.runs.end(name, by)

    async def _turn(self, run: LiveRun) -> None:
        if self._beginning:
            return
        async with self._turns:
            mine = self._running
            if mine is None or mine.run.id != run.id:
                await self._interrupt(run)
                return
            try:
                await self._go_on(mine)
            except (Unavailable, Transient):
                raise  # looked at again in a second
            except TidegateError as error:
                await self._end(mine, Judgement(Verdict.FAILED, error.message), run.by)

    async def _go_on(self, mine: Running) -> None:
        name, now = mine.run.what, self.gateway.context.clock.now()
        run = await self.runs.find(name)
        if run is None or not run.open or run.ending:
            return
        counts = self.runs.counts(name)
        mine.look = await look(self.gateway, run, counts, now)
        mine.ticks.add(int(now.timestamp()), mine.look)
        step = advance(mine.challenge, mine.progress, mine.look.facts, now.timestamp())
        learnt: dict[str, Any] = {}
        for act in step.acts:
            learnt |= await self._do(mine, act)
        entered = step.progress.stage != mine.progress.stage
        mine.progress = replace(step.progress, marks={**step.progress.marks, **learnt})
        if step.end is not None:
            await self._end(mine, step.end, run.by)
        elif entered:
            await self._keep(mine, now)

    async def _do(self, mine: Running, act: Act) -> dict[str, Any]:
        """Returns what is to be remembered of it. All of them may be repeated."""
        name = mine.run.what
        if isinstance(act, Deploy):
            await self._deploy(mine, act)
        elif isinstance(act, Send):
            lasting = mine.challenge.longest + SPARE.total_seconds()
            await self.runs.send(name, [Phase(lasting, act.rate)], f"{act.requests}.jsonl")
        elif isinstance(act, Halt):
            await self.runs.halt(name)
        else:
            return {"refused": await self._retry(mine)}
        return {}

    async def _deploy(self, mine: Running, act: Deploy) -> None:
        settings, now = self.gateway.settings, self.gateway.context.clock.now()
        places = Places(
            self.runs.folder(mine.run.what).absolute().as_uri(),
            self._captures(mine.run).as_uri(),
            settings.capture_seconds,
        )
        document = describe_spec(mine.run.what, mine.run.endpoint, act.version, places, act.target)
        desired = spec.parse_runnable(document, now)
        action = f"{mine.doing.action}: deploy {act.version}"
        async with self.gateway.trail.allowing(replace(mine.doing, action=action)) as told:
            done = await self.runs.deploy(mine.run.what, desired, DeployOptions(mine.run.by))
            told.detail = done.message
        mine.versions.setdefault(done.config, act.version)

    async def _retry(self, mine: Running) -> str:
        """Try the last version again, without an override. Returns why that was refused; empty if it was not."""
        context, name, now = self.gateway.context, mine.run.endpoint, self.gateway.context.clock.now()
        can, rollout = context.targets.of(LOCAL), context.ids.new("rollout")

        def work(tx: Tx) -> None:
            live_runs.require_own(tx, live_runs.find(tx, mine.run.what) or mine.run)
            rollouts.retry(tx, name, mine.run.by, override=False, rollout_id=rollout, can=can, now=now)

        try:
            async with self.gateway.trail.allowing(replace(mine.doing, action=f"{mine.doing.action}: retry")):
                await context.store.run(work)
                context.kick(name)
        except Conflict as error:
            return error.message
        return ""

    async def _keep(self, mine: Running, now: datetime) -> None:
        store, picture = self.gateway.context.store, self._picture(mine)

        def work(tx: Tx) -> None:
            found = live_challenges.find(tx, mine.run.what)
            if found is not None and found.run == mine.run.id and found.verdict is None:
                live_challenges.keep(tx, replace(found, picture=picture), now)

        await store.run(work)

    async def _end(self, mine: Running, end: Judgement, by: str) -> None:
        name, now = mine.run.what, self.gateway.context.clock.now()
        picture = self._picture(mine) if mine.look is not None else None
        await self.gateway.context.store.run(
            lambda tx: live_challenges.end(tx, name, mine.run.id, end.verdict, end.said, now, picture)
        )
        self._running = None
        with contextlib.suppress(NotFound):  # it is removed already
            await self.runs.end(name, by)

    async def _revoke(self, run: LiveRun) -> None:
        """The run is ended by its keeper."""
        async with self._turns:
            mine, now, said = self._running, self.gateway.context.clock.now(), RIGHTS_GONE
            known = mine is not None and mine.run.id == run.id
            picture = self._picture(mine) if mine is not None and known and mine.look is not None else None
            await self.gateway.context.store.run(
                lambda tx: live_challenges.end(tx, run.what, run.id, Verdict.STOPPED, said, now, picture)
            )
            if known:
                self._running = None

    async def _interrupt(self, run: LiveRun) -> None:
        """A run that another process began: what it counted is lost."""
        now = self.gateway.context.clock.now()
        await self.gateway.context.store.run(
            lambda tx: live_challenges.end(tx, run.what, run.id, Verdict.INTERRUPTED, AFTER_RESTART, now)
        )
        await self.runs.end(run.what, "the server")

    def _picture(self, mine: Running) -> dict[str, Any]:
        assert mine.look is not None
        now = self.gateway.context.clock.now().timestamp()
        counts = self.runs.counts(mine.run.what)
        picture = make_picture(mine.challenge, mine.progress, mine.look, counts, mine.ticks, now)
        return {**picture, "versions": dict(mine.versions)}

    def _captures(self, run: LiveRun) -> Path:
        settings = self.gateway.settings
        root = settings.output_roots[0] if settings.output_roots else settings.state / "outputs"
        return root.expanduser().absolute() / f"live-challenge-{run.id}"

    async def _remove_captures(self, run: LiveRun) -> None:
        await asyncio.to_thread(remove_folder, self._captures(run))


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)
