"""The lab on this server: observes how far it is, and does its steps, for pages and for the native API alike."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from tidegate import spec
from tidegate.console.activity import read_activity, variants_of
from tidegate.domain.access import ANYBODY, Caller
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Conflict, Invalid, NotFound
from tidegate.domain.finding import Finding
from tidegate.domain.history import History
from tidegate.features.evidence.judge import recompute
from tidegate.features.evidence.service import find_evidence
from tidegate.features.lessons import run_service as live_runs
from tidegate.features.lessons.lab.progress import (
    ENDPOINT,
    VERSIONS,
    LabSeen,
    Step,
    StepName,
    Tried,
    Verdict,
    judge_steps,
    require_ready,
)
from tidegate.features.lessons.lab.training import EXAMPLE, Trainer, count_models, is_trained
from tidegate.features.lessons.live_runs.keeper import LiveRuns
from tidegate.features.lessons.run_records import LiveRun, Phase
from tidegate.gateway.dependencies import Gateway
from tidegate.ports.store import Tx
from tidegate.prices import price_folder
from tidegate.service import history
from tidegate.service.deploy import DeployOptions
from tidegate.service.record_kinds import ENDPOINT as ENDPOINTS

LAB = "lab"
LASTING = timedelta(hours=2)
"""After which the server ends a lab that nobody has ended."""
RATE = 50.0
SENDING = 1800.0
"""Seconds."""
BAKE = 30.0
LEAST_BAKE, LONGEST_BAKE = 1.0, 300.0
"""Seconds of the bake of a stage."""


@dataclass(frozen=True)
class Stored:
    """What the store has, in one look."""

    run: LiveRun | None
    endpoint: Endpoint | None = None
    own: bool = False
    history: History = field(default_factory=History)
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Look:
    """What is the case, the lab's run if it is open, and the versions of its configs."""

    seen: LabSeen
    run: LiveRun | None
    versions: Mapping[str, str]

    @property
    def steps(self) -> tuple[Step, ...]:
        return judge_steps(self.seen)


@dataclass
class LabDesk:
    """One of a server."""

    gateway: Gateway
    runs: LiveRuns
    trainer: Trainer
    _wishes: dict[Path, tuple[int, DesiredDeployment]] = field(default_factory=dict)
    _expected: str = ""
    """Id of the run whose deployments the store knows of."""
    _expecting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _doing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.runs.turns[LAB] = self.expect_deployments
        self.runs.removals[LAB] = self._stop_training

    @property
    def folder(self) -> Path:
        """The example's folder in the lab's."""
        return self.runs.folder(LAB) / EXAMPLE

    async def look(self) -> Look:
        context, now = self.gateway.context, self.gateway.context.clock.now()
        stored = await context.store.read(_find)
        open_run = stored.run if stored.run is not None and stored.run.open else None
        names, failure = await self._find_versions(now) if open_run is not None else ({}, "")
        if open_run is not None and names:
            with suppress(Conflict, NotFound):  # it may have been ended meanwhile
                # Before the page or the API offers a version for deployment.
                await self.expect_deployments(open_run)
        seen = LabSeen(
            open=open_run is not None,
            by=open_run.by if open_run is not None else "",
            ending=open_run is not None and open_run.ending,
            training=self.trainer.running,
            models=await asyncio.to_thread(count_models, self.folder) if self.trainer.running else 0,
            trained=bool(names),
            failure=failure,
            sending=open_run is not None and self.runs.is_sending(LAB),
        )
        endpoint = stored.endpoint
        if endpoint is None:
            return Look(seen, open_run, names)
        if endpoint.deleting or not stored.own:
            return Look(replace(seen, deleting=endpoint.deleting, stranger=not endpoint.deleting), open_run, names)
        second = int(now.timestamp())
        activity = await read_activity(context.metrics, ENDPOINT, variants_of(endpoint), second)
        seen = replace(_add_endpoint(seen, endpoint, stored, names), rate=activity.rate)
        return Look(seen, open_run, names)

    async def do(self, name: str, by: str, run_id: str | None, bake: float, caller: Caller = ANYBODY) -> Step:
        """Do a step as it can be done now. ``run_id``: the lab that it is meant for; None is any. Raises NotFound for
        an unknown step, Conflict for one that cannot be done, Invalid, and what deploying raises; then nothing is
        done."""
        async with self._doing:
            found = await self.look()
            run = found.run
            if run_id is not None and run_id != (run.id if run is not None else ""):
                raise Conflict("this is another lab than the one that the page showed: look at it again")
            step = require_ready(found.steps, name)
            if step.name is StepName.TRAIN:
                await self._train(run, by, bake, caller)
            elif step.name is StepName.TRAFFIC:
                await self.runs.send(LAB, [Phase(SENDING, RATE)], f"{EXAMPLE}/requests.jsonl")
            elif step.name is StepName.END:
                await self.trainer.stop()
                await self.runs.end(LAB, by)
            else:
                await self._deploy(step, found.seen, by)
        return step

    async def _train(self, run: LiveRun | None, by: str, bake: float, caller: Caller) -> None:
        if not LEAST_BAKE <= bake <= LONGEST_BAKE:
            raise Invalid(f"a bake of {bake:g} s: the lab's last {LEAST_BAKE:g} to {LONGEST_BAKE:g} s")
        if run is None:
            run = await self.runs.begin(LAB, ENDPOINT, by, LASTING, caller)
        self._expected = ""
        settings = self.gateway.settings
        self.trainer.start(run, self.folder, bake, price_folder(settings.prices, settings.state))

    async def _deploy(self, step: Step, seen: LabSeen, by: str) -> None:
        version = VERSIONS[step.name]
        now = self.gateway.context.clock.now()
        wish = await asyncio.to_thread(self._read_wish, version, now)
        again = any(one.version == version for one in seen.tried)
        await self.runs.deploy(LAB, wish, DeployOptions(by, override=again))

    async def expect_deployments(self, run: LiveRun) -> None:
        """Once the specs are there, note what they make: a command may deploy them, too."""
        async with self._expecting:
            if run.id == self._expected or run.ending or self.trainer.running:
                return
            if not await asyncio.to_thread(is_trained, self.folder):
                return
            now = self.gateway.context.clock.now()
            wishes = [await asyncio.to_thread(self._read_wish, version, now) for version in VERSIONS.values()]
            await self.runs.expect_deployments(LAB, wishes)
            self._expected = run.id

    async def _stop_training(self, run: LiveRun) -> None:
        """The server may have ended the lab by itself."""
        await self.trainer.stop()

    async def _find_versions(self, now: datetime) -> tuple[dict[str, str], str]:
        """Versions by their configs; none before they are trained, perhaps with what went wrong."""
        if self.trainer.running or not await asyncio.to_thread(is_trained, self.folder):
            return {}, self.trainer.failure
        try:
            return await asyncio.to_thread(self._name_versions, now), ""
        except Invalid as error:
            return {}, error.message

    def _name_versions(self, now: datetime) -> dict[str, str]:
        """Config -> version of the lab."""
        return {self._read_wish(version, now).config.name: version for version in VERSIONS.values()}

    def _read_wish(self, version: str, now: datetime) -> DesiredDeployment:
        """Raises Invalid for a spec that somebody has changed badly."""
        path = self.folder / f"{version}.yaml"
        try:
            written = path.stat().st_mtime_ns
            known = self._wishes.get(path)
            if known is None or known[0] != written:
                known = written, spec.parse_runnable(spec.load(path.read_text(), str(path)).data, now)
                self._wishes[path] = known
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{path}: it cannot be read: {error}") from None
        return known[1]


def _find(tx: Tx) -> Stored:
    run = live_runs.find(tx, LAB)
    saved = tx.get(ENDPOINTS, ENDPOINT)
    if saved is None:
        return Stored(run)
    own = run is not None and run.open and live_runs.is_own(tx, run)
    if not own:
        return Stored(run, saved.body)
    return Stored(run, saved.body, True, history.read(tx, ENDPOINT), _find_verdict(tx))


def _add_endpoint(seen: LabSeen, endpoint: Endpoint, stored: Stored, versions: Mapping[str, str]) -> LabSeen:
    """``versions``: config -> version of the lab."""
    rollout = endpoint.rollout
    serving = endpoint.serving.config_name if endpoint.serving is not None else None
    rolling = rollout.new.config_name if rollout is not None else None
    return replace(
        seen,
        present=True,
        serving=None if serving is None else versions.get(serving),
        other=serving if serving is not None and serving not in versions else None,
        rolling=None if rolling is None else versions.get(rolling, rolling),
        turning=rollout is not None and rollout.cause is not None,
        tried=tuple(
            Tried(versions[name], one.outcome, one.served_at is not None, one.rollout, one.reason)
            for one in stored.history.begun
            if (name := one.version.config_name) in versions
        ),
        verdict=stored.verdict,
        priced=True,
    )


def _find_verdict(tx: Tx) -> Verdict | None:
    record = find_evidence(tx, ENDPOINT)
    if record is None:
        return None
    again = recompute(record.config, record.variants, record.blocks.values(), record.verdict.stage)
    return Verdict(record.rollout, record.verdict.finding is Finding.FAIL, again == record.verdict)
