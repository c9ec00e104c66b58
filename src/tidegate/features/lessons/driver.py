"""Plays lessons on this server: observes, and does the acts of their steps as an API call does.

The learner does the steps of the lab. The server does those of a challenge, one challenge at a time: it observes each
second, asks the lesson what follows, and does that.
"""

import asyncio
import contextlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from tidegate import spec
from tidegate.domain.access import Caller
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Conflict, InProgress, Invalid, NotFound, TidegateError, Transient, Unavailable
from tidegate.domain.targets import LOCAL
from tidegate.features.lessons import run_service as live_runs
from tidegate.features.lessons.catalogue import NAMES, find_lesson
from tidegate.features.lessons.keeper import RIGHTS_GONE, LiveRuns, remove_folder
from tidegate.features.lessons.lab import EXAMPLE, LAB, VERSIONS
from tidegate.features.lessons.lesson import (
    START,
    STOP,
    DeployVersion,
    Judgement,
    Lesson,
    LessonAct,
    LessonMoment,
    LessonProgress,
    LessonStatus,
    PlainAct,
    RunPlaces,
    SendRequests,
    advance,
    report_progress,
    report_steps,
    require_ready,
)
from tidegate.features.lessons.model_files import draw_rows, write_requests
from tidegate.features.lessons.observation import LessonObservation, Tick, make_picture, note_tick, observe
from tidegate.features.lessons.run_records import LessonVerdict, LiveRun
from tidegate.features.lessons.training import Trainer, count_models, is_trained
from tidegate.gateway.dependencies import Gateway
from tidegate.ports.store import Tx
from tidegate.prices import price_folder
from tidegate.service import rollouts
from tidegate.service.audit_trail import RequestedOperation
from tidegate.service.deploy import DeployOptions

SPARE = timedelta(minutes=5)
"""Beyond what the steps of a challenge may take; the run then ends whatever happens."""
LIBRARY = "xgboost"
IMAGE = "tidegate/xgboost"
ROWS = 2_000
"""Different requests that are sent in turn."""
BAKE = 30.0
LEAST_BAKE, LONGEST_BAKE = 1.0, 300.0
"""Seconds of the bake of a stage of the lab's versions."""
ENDED_EARLY = "it lasted longer than it may, or the machine slept meanwhile: run it once more"
AFTER_RESTART = "the server was started again on the way, and the counts before it are lost: run it once more"


@dataclass
class Performance:
    """A challenge that this process plays. ``doing``: by whom and from where, for the audit."""

    run: LiveRun
    lesson: Lesson
    doing: RequestedOperation
    progress: LessonProgress
    versions: dict[str, str] = field(default_factory=dict)
    """Config -> version."""
    ticks: dict[int, Tick] = field(default_factory=dict)
    observed: LessonObservation | None = None


@dataclass
class LessonDriver:
    """One of a server. ``library``: whether the runtime of the challenges' model is installed."""

    gateway: Gateway
    runs: LiveRuns
    trainer: Trainer
    library: bool = field(default_factory=lambda: importlib.util.find_spec(LIBRARY) is not None)
    _performance: Performance | None = None
    _turns: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever changes a run, so that each acts on what is the case."""
    _desired: dict[Path, tuple[int, DesiredDeployment]] = field(default_factory=dict)
    _expected: str = ""
    """Id of the lab's run whose deployments the store knows of."""

    def __post_init__(self) -> None:
        self.runs.player = self

    def find(self, name: str) -> Lesson:
        """Raises NotFound."""
        return find_lesson(name, self.gateway.settings.capture_seconds)

    def _is_challenge(self, name: str) -> bool:
        return name in NAMES and name != LAB.name

    def describe_obstacle(self) -> str:
        """Why this server can play no challenge; empty if it can."""
        if LOCAL not in self.gateway.context.targets.capabilities:
            return "this server has no local target, and a lesson runs on the server's own machine alone"
        if not self.library:
            return "the runtime of the lesson's model is not installed: pip install 'tidegate[xgboost]'"
        return ""

    def folder(self, lesson: Lesson) -> Path:
        """Model data and specs of the lesson's run."""
        return self.runs.folder(lesson.name) / EXAMPLE if lesson.by_learner else self.runs.folder(lesson.name)

    # --- how far a lesson is ---

    async def read(self, name: str) -> LessonStatus:
        """Raises NotFound."""
        lesson = self.find(name)
        if lesson.by_learner:
            return await self._read_facts(lesson)

        def find(tx: Tx) -> tuple[LiveRun | None, list[LiveRun]]:
            return live_runs.find(tx, name), live_runs.find_open(tx)

        run, open_runs = await self.gateway.context.store.run(find)
        removing = run is not None and run.open and run.ending
        others = [one.what for one in open_runs if one.what != name and self._is_challenge(one.what)]
        run = None if run is None else self._complete(run)
        step: Any = run.picture.get("step", 0) if run is not None else 0
        reports = report_progress(lesson, step, run.verdict) if run is not None else ()
        return LessonStatus(lesson, run, reports, removing, others[0] if others else "")

    def _complete(self, run: LiveRun) -> LiveRun:
        """With its present picture. A run that is over without a verdict was interrupted."""
        if run.verdict is not None:
            return run
        mine = self._performance if self._performance is not None and self._performance.run.id == run.id else None
        if mine is not None and mine.observed is not None:
            run = replace(run, picture=self._picture(mine))
        if run.open and not run.ending:
            return run
        said = AFTER_RESTART if mine is None else ENDED_EARLY
        return replace(run, verdict=LessonVerdict.INTERRUPTED, said=said)

    async def _read_facts(self, lesson: Lesson) -> LessonStatus:
        run, now = await self.runs.find(lesson.name), self.gateway.context.clock.now()
        open_run = run if run is not None and run.open else None
        versions, failure = await self._find_versions() if open_run is not None else ({}, "")
        if open_run is not None and versions:
            with contextlib.suppress(Conflict, NotFound):  # it may have been ended meanwhile
                # Before the page or the API offers a version for deployment.
                await self.expect_deployments(open_run)
        counts = self.runs.counts(lesson.name)
        observed = await observe(self.gateway, lesson.endpoint, open_run, versions, counts, now)
        training, folder = self.trainer.running, self.folder(lesson)
        facts = replace(
            observed.facts,
            training=training,
            models=await asyncio.to_thread(count_models, folder) if training else 0,
            trained=bool(versions),
            training_failure=failure,
            sending=open_run is not None and self.runs.is_sending(lesson.name),
        )
        return LessonStatus(lesson, open_run, report_steps(lesson, facts), facts.ending, "", facts, versions)

    # --- what people do ---

    async def do(
        self,
        name: str,
        step: str,
        doing: RequestedOperation,
        by: str,
        run_id: str | None = None,
        bake: float = BAKE,
    ) -> None:
        """Do a step of the learner, or start or stop a challenge. ``run_id``: the run that is meant; None is any.
        Raises NotFound for what cannot be done at all, Conflict for what cannot be done now, Invalid, LimitExceeded,
        and what deploying raises; then nothing is done."""
        lesson = self.find(name)
        if not lesson.steps:
            raise NotFound(f"lesson {name} is played in simulation only: open /console/lessons/{name}")
        async with self._turns:
            if lesson.by_learner:
                await self._do_step(lesson, step, doing.caller, by, run_id, bake)
            elif step == START:
                await self._begin(lesson, doing, by)
            elif step == STOP:
                await self._stop(lesson, by, run_id)
            else:
                raise NotFound(
                    f"a lesson that the server plays has no step to do '{step[:80]}': {START} or {STOP} it"
                )

    async def _do_step(
        self, lesson: Lesson, name: str, caller: Caller, by: str, run_id: str | None, bake: float
    ) -> None:
        found = await self._read_facts(lesson)
        run = found.run
        if run_id is not None and run_id != (run.id if run is not None else ""):
            raise Conflict(f"this is another {lesson.name} than the one that the page showed: look at it again")
        step, report = require_ready(lesson, found.steps, name)
        for act in step.acts(LessonMoment(found.facts)):
            if act is PlainAct.TRAIN:
                await self._train(run, by, bake, caller)
            elif act is PlainAct.END:
                await self.trainer.stop()
                await self.runs.end(lesson.name, by)
            elif isinstance(act, DeployVersion):
                desired = await asyncio.to_thread(
                    self._read_desired, act.version, self.gateway.context.clock.now()
                )
                await self.runs.deploy(lesson.name, desired, DeployOptions(by, override=report.again))
            else:
                await self._send(lesson, act)

    async def _send(self, lesson: Lesson, act: LessonAct) -> None:
        if isinstance(act, SendRequests):
            seconds = act.seconds or lesson.longest + SPARE.total_seconds()
            await self.runs.send(lesson.name, act.rate, seconds, act.file)
        else:
            await self.runs.halt(lesson.name)

    async def _begin(self, lesson: Lesson, doing: RequestedOperation, by: str) -> None:
        if obstacle := self.describe_obstacle():
            raise Conflict(obstacle)
        context, name = self.gateway.context, lesson.name
        can = context.targets.of(LOCAL)

        def check(tx: Tx) -> None:
            open_runs = [run.what for run in live_runs.find_open(tx)] + live_runs.find_unreadable(tx)
            if others := [what for what in open_runs if self._is_challenge(what)]:
                raise InProgress(
                    f"the challenge {others[0]!r} is under way, or is being removed: one at a time runs on a server"
                )
            live_runs.require_room(tx, lesson.instances, can)

        await context.store.run(check)
        endpoint = f"tidegate-live-{name}-{context.ids.new(name)[-8:]}"
        lasting = timedelta(seconds=lesson.longest) + SPARE
        try:
            run = await self.runs.begin(name, endpoint, by, lasting, doing.caller)
        except Transient as error:
            if (begun := await self.runs.find(name)) is not None and begun.endpoint == endpoint:
                await self._judge(begun, Judgement(LessonVerdict.FAILED, error.message))
            raise
        now = context.clock.now().timestamp()
        doing = replace(doing, about=endpoint, action=f"challenge {name}")
        mine = Performance(run, lesson, doing, LessonProgress(now, now))
        try:
            await asyncio.to_thread(_write_files, self.folder(lesson), make_files(lesson))
            await self._perform(mine, DeployVersion(next(iter(lesson.versions))))
        except BaseException as error:
            said = error.message if isinstance(error, TidegateError) else "it could not be begun"
            await self._end(mine, Judgement(LessonVerdict.FAILED, said), by)
            raise
        self._performance = mine

    async def _stop(self, lesson: Lesson, by: str, run_id: str | None) -> None:
        run, mine = await self.runs.find(lesson.name), self._performance
        if run is not None and run_id is not None and run_id != run.id:
            raise Conflict("this is another run than the one that the page showed: look at it again")
        if run is not None and mine is not None and mine.run.id == run.id:
            await self._end(mine, Judgement(LessonVerdict.STOPPED, f"stopped by {by}"), by)
        else:
            await self.runs.end(lesson.name, by)

    # --- a challenge, as the keeper of its run asks for it ---

    async def play(self, run: LiveRun) -> None:
        """Each second of a run that is open."""
        if not self._is_challenge(run.what):
            if run.what == LAB.name:
                await self.expect_deployments(run)
            return
        async with self._turns:
            recorded, mine = await self.runs.find(run.what), self._performance
            if recorded is None or recorded.id != run.id or not recorded.open or recorded.ending:
                return
            if mine is None or mine.run.id != run.id:  # that another process began: what it counted is lost
                await self._judge(run, Judgement(LessonVerdict.INTERRUPTED, AFTER_RESTART))
                await self.runs.end(run.what, "the server")
                return
            try:
                await self._go_on(mine, recorded)
            except (Unavailable, Transient):
                raise  # it is observed again in a second
            except TidegateError as error:
                await self._end(mine, Judgement(LessonVerdict.FAILED, error.message), run.by)

    async def _go_on(self, mine: Performance, run: LiveRun) -> None:
        """``run``: as it is recorded now, with what it has made."""
        now, counts = self.gateway.context.clock.now(), self.runs.counts(run.what)
        mine.observed = await observe(self.gateway, run.endpoint, run, mine.versions, counts, now)
        facts = mine.observed.facts
        note_tick(mine.ticks, int(now.timestamp()), facts)
        following = advance(mine.lesson, mine.progress, facts, now.timestamp())
        learnt: dict[str, Any] = {}
        for act in following.acts:
            learnt |= await self._perform(mine, act)
        entered = following.progress.step != mine.progress.step
        mine.progress = replace(following.progress, marks={**following.progress.marks, **learnt})
        if following.end is not None:
            await self._end(mine, following.end, run.by)
        elif entered:
            picture = self._picture(mine)
            await self.gateway.context.store.run(lambda tx: live_runs.keep_picture(tx, run, picture, now))

    async def _perform(self, mine: Performance, act: LessonAct) -> dict[str, Any]:
        """Returns what is to be remembered of it. Every act may be repeated."""
        if act is PlainAct.RETRY:
            return {"refused": await self._retry(mine)}
        if isinstance(act, DeployVersion):
            await self._deploy(mine, act)
        else:
            await self._send(mine.lesson, act)
        return {}

    async def _deploy(self, mine: Performance, act: DeployVersion) -> None:
        run, folder = mine.run, self.runs.folder(mine.run.what).absolute().as_uri()
        places = RunPlaces(folder, self._captures(run).as_uri())
        document = describe_spec(mine.lesson, run.endpoint, act, places)
        desired = spec.parse_runnable(document, self.gateway.context.clock.now())
        action = f"{mine.doing.action}: deploy {act.version}"
        async with self.gateway.trail.allowing(replace(mine.doing, action=action)) as told:
            done = await self.runs.deploy(run.what, desired, DeployOptions(run.by))
            told.detail = done.message
        mine.versions.setdefault(done.config, act.version)

    async def _retry(self, mine: Performance) -> str:
        """Retry the last version, without an override. Returns why that was refused; empty if it was not."""
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

    async def _end(self, mine: Performance, end: Judgement, by: str) -> None:
        await self._judge(mine.run, end, mine)
        self._performance = None
        with contextlib.suppress(NotFound):  # it is removed already
            await self.runs.end(mine.run.what, by)

    async def _judge(self, run: LiveRun, end: Judgement, mine: Performance | None = None) -> None:
        now = self.gateway.context.clock.now()
        picture = self._picture(mine) if mine is not None and mine.observed is not None else None
        await self.gateway.context.store.run(
            lambda tx: live_runs.judge(tx, run, end.verdict, end.said, now, picture)
        )

    async def revoke(self, run: LiveRun) -> None:
        """Its keeper ends the run."""
        if not self._is_challenge(run.what):
            return
        async with self._turns:
            mine = self._performance if self._performance and self._performance.run.id == run.id else None
            await self._judge(run, Judgement(LessonVerdict.STOPPED, RIGHTS_GONE), mine)
            if mine is not None:
                self._performance = None

    async def remove(self, run: LiveRun) -> None:
        """The run's captures, and the training that may go on: the server may have ended the run by itself."""
        if run.what == LAB.name:
            await self.trainer.stop()
        await asyncio.to_thread(remove_folder, self._captures(run))

    def _picture(self, mine: Performance) -> dict[str, Any]:
        assert mine.observed is not None
        now = self.gateway.context.clock.now().timestamp()
        counts = self.runs.counts(mine.run.what)
        picture = make_picture(mine.lesson, mine.progress, mine.observed, counts, mine.ticks, now)
        return {**picture, "versions": dict(mine.versions)}

    def _captures(self, run: LiveRun) -> Path:
        settings = self.gateway.settings
        root = settings.output_roots[0] if settings.output_roots else settings.state / "outputs"
        return root.expanduser().absolute() / f"live-challenge-{run.id}"

    # --- the versions of the lab ---

    async def _train(self, run: LiveRun | None, by: str, bake: float, caller: Caller) -> None:
        if not LEAST_BAKE <= bake <= LONGEST_BAKE:
            raise Invalid(f"a bake of {bake:g} s: the lab's last {LEAST_BAKE:g} to {LONGEST_BAKE:g} s")
        if run is None:
            run = await self.runs.begin(LAB.name, LAB.endpoint, by, LAB.lasting, caller)
        self._expected = ""
        settings = self.gateway.settings
        self.trainer.start(run, self.folder(LAB), bake, price_folder(settings.prices, settings.state))

    async def expect_deployments(self, run: LiveRun) -> None:
        """Once the specs are there, note what they make: a command may deploy them, too."""
        if run.id == self._expected or run.ending or not await self._is_trained():
            return
        now = self.gateway.context.clock.now()
        await self.runs.expect_deployments(LAB.name, await asyncio.to_thread(self._read_all, now))
        self._expected = run.id

    async def _is_trained(self) -> bool:
        return not self.trainer.running and await asyncio.to_thread(is_trained, self.folder(LAB))

    async def _find_versions(self) -> tuple[dict[str, str], str]:
        """Versions by their configs; none before they are trained, perhaps with what went wrong."""
        if not await self._is_trained():
            return {}, self.trainer.failure
        try:
            found = await asyncio.to_thread(self._read_all, self.gateway.context.clock.now())
        except Invalid as error:
            return {}, error.message
        return {one.config.name: version for one, version in zip(found, VERSIONS, strict=True)}, ""

    def _read_all(self, now: datetime) -> list[DesiredDeployment]:
        return [self._read_desired(version, now) for version in VERSIONS]

    def _read_desired(self, version: str, now: datetime) -> DesiredDeployment:
        """Raises Invalid for a spec that somebody has changed badly."""
        path = self.folder(LAB) / f"{version}.yaml"
        try:
            written = path.stat().st_mtime_ns
            known = self._desired.get(path)
            if known is None or known[0] != written:
                known = written, spec.parse_runnable(spec.load(path.read_text(), str(path)).data, now)
                self._desired[path] = known
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{path}: it cannot be read: {error}") from None
        return known[1]


def describe_spec(lesson: Lesson, endpoint: str, act: DeployVersion, places: RunPlaces) -> dict[str, Any]:
    """The spec of one version of a challenge, as ``tidegate deploy`` takes it."""
    model = {"image": IMAGE, "data": f"{places.files}/{act.version}.json"}
    return lesson.spec({"endpoint": endpoint, "target": LOCAL, "model": model}, places, act.target)


def make_files(lesson: Lesson) -> dict[str, bytes]:
    """The files that a challenge needs, by name."""
    usual = write_requests(draw_rows(Random(f"lesson {lesson.name}"), ROWS))
    versions = {f"{version}.json": content for version, content in lesson.versions.items()}
    return {"usual.jsonl": usual, **versions, **lesson.files()}


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)
