"""A lesson as data, and its progress as a pure function of the lesson, the facts and the time.

The learner does the steps of the lab, so its progress follows from the facts alone: a reload, a restart, a second
reader and a step done by a command all show the same. The server does the steps of a challenge, one after the other,
each until the facts are those that it expects. What is not known never ends a step well.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tidegate.domain.errors import Conflict, NotFound
from tidegate.domain.history import VersionOutcome
from tidegate.features.lessons.run_records import LessonVerdict, LiveRun

START, STOP = "start", "stop"
"""The two things that people do with a lesson whose steps the server does."""


class StepState(StrEnum):
    AHEAD = "ahead"
    READY = "ready"
    """It can be done now."""
    UNDER_WAY = "under way"
    DONE = "done"
    MISSED = "missed"
    """The facts were not those expected, and the lesson ended."""
    NEVER = "never"
    """The lesson ended before it."""


@dataclass(frozen=True)
class Attempt:
    """A rollout of one of the lesson's versions to its endpoint."""

    version: str
    outcome: VersionOutcome
    served: bool
    rollout: str
    reason: str = ""


@dataclass(frozen=True)
class EvidenceCheck:
    """Whether the evidence of a rollout rejects its version, and whether the same follows from its kept counts."""

    rollout: str
    failed: bool
    same: bool


@dataclass(frozen=True)
class LessonFacts:
    """Observed facts of a lesson. Empty texts, None and False: not known, or not there. Versions are named as the
    lesson names them; ``other`` is a config that serves and is none of them."""

    open: bool = False
    """Whether the run was begun and not ended."""
    by: str = ""
    ending: bool = False
    stranger: bool = False
    """Whether somebody else's endpoint has the run's name."""
    training: bool = False
    models: int = 0
    """Trained models that are there while the others are trained."""
    trained: bool = False
    training_failure: str = ""
    present: bool = False
    """Whether the run's own endpoint is there."""
    deleting: bool = False
    failure: str = ""
    """Why the endpoint cannot serve."""
    serves: bool = False
    """Whether the endpoint is in service."""
    serving: str | None = None
    other: str | None = None
    rolling: str | None = None
    """Version of the rollout under way."""
    rolling_back: bool = False
    attempts: Sequence[Attempt] = ()
    """Oldest first."""
    outcome: str = ""
    """Last phase of the last update."""
    reason: str = ""
    desired: int | None = None
    ready: int | None = None
    share: float | None = None
    """Percent of the requests on the new version."""
    evidence: EvidenceCheck | None = None
    alarm: str = ""
    alarm_reason: str = ""
    drift: str = ""
    drift_rows: int = 0
    findings: tuple[str, ...] = ()
    scaled: bool = False
    rate: float = 0.0
    """Requests a second in the last ten seconds, by whomever."""
    service: float | None = None
    """Milliseconds of a request in the model: the median of the last ten seconds."""
    sending: bool = False
    """Whether the server sends requests; the counts are of these."""
    sent: int = 0
    answered: int = 0
    failed: int = 0
    by_config: Mapping[str, int] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        return self.sent - self.answered - self.failed

    def last_attempt(self, version: str) -> Attempt | None:
        return next((one for one in reversed(self.attempts) if one.version == version), None)

    def has_served(self, version: str) -> bool:
        return self.present and any(one.version == version and one.served for one in self.attempts)

    def rollback_of(self, version: str) -> Attempt | None:
        """The last attempt of a version, if it was rolled back."""
        last = self.last_attempt(version) if self.present else None
        return (
            last if last is not None and last.outcome is VersionOutcome.ROLLED_BACK and not last.served else None
        )


class PlainAct(StrEnum):
    TRAIN = "train"
    """Begin the run, if it is not open, and train its versions."""
    STOP_REQUESTS = "stop requests"
    RETRY = "retry"
    """Retry the last version, without an override."""
    END = "end"
    """Remove all that the run made."""


@dataclass(frozen=True)
class DeployVersion:
    """``target``: requests at one time that an instance should have, if instances are scaled."""

    version: str
    target: float | None = None


@dataclass(frozen=True)
class SendRequests:
    """Requests a second of a file in the run's folder, in place of those before; ``seconds`` None: to the end."""

    rate: float
    file: str = "usual.jsonl"
    seconds: float | None = None


LessonAct = PlainAct | DeployVersion | SendRequests


@dataclass(frozen=True)
class LessonMoment:
    """The facts, seconds of the step so far, and what is remembered of the run."""

    facts: LessonFacts
    seconds: float = 0.0
    marks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepReport:
    """``said``: what is the case, or what the step waits for. ``again``: it was done before and did not last."""

    state: StepState
    said: str = ""
    tone: str = ""
    again: bool = False
    name: str = ""


@dataclass(frozen=True)
class LessonStep:
    """``acts`` are done at its beginning. A step of the server ends when ``is_done``, or after ``limit`` seconds: the
    lesson then ends with ``missed`` as the reason, or the step is over if it is ``optional``. A step of the learner
    has ``report`` instead, and a ``label`` and what it ``confirm``s, unless it only shows something."""

    name: str
    title: str
    text: str = ""
    acts: Callable[[LessonMoment], tuple[LessonAct, ...]] = lambda moment: ()
    is_done: Callable[[LessonMoment], bool] = lambda moment: False
    limit: float = 0.0
    missed: str = ""
    optional: bool = False
    report: Callable[[LessonFacts], StepReport] | None = None
    label: str = ""
    confirm: str = ""
    commands: tuple[tuple[str, str], ...] = ()
    """A remark and a command line each, with ``{endpoint}``, ``{folder}`` and ``{example}``."""
    version: str = ""
    """The version that a step of the learner deploys."""


@dataclass(frozen=True)
class Judgement:
    verdict: LessonVerdict
    said: str


@dataclass(frozen=True)
class RunPlaces:
    """Addresses of the folder of a run's files, and of the one for its captures."""

    files: str
    captures: str


@dataclass(frozen=True)
class Choice:
    """A choice of a simulation: titles by value. ``many``: any of them, separated by commas in ``default``."""

    name: str
    label: str
    titles: Mapping[str, str]
    default: str
    many: bool = False


@dataclass(frozen=True)
class Simulation:
    """A lesson on a virtual clock. ``play`` is given a value of each choice, and returns an ``outcome``."""

    play: Callable[[Mapping[str, Any], datetime], dict[str, object]]
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """``about``: what it teaches; ``live``: what happens when it is played on this server; ``versions``: model files
    by version, of which the first is deployed at the beginning; ``instances``: at the most."""

    name: str
    title: str
    about: str
    live: str = ""
    steps: tuple[LessonStep, ...] = ()
    """Empty: it is played in simulation only."""
    endpoint: str = ""
    """The name of the run's endpoint; empty: a new one each time."""
    lasting: timedelta = timedelta()
    """The longest that a run lasts; zero: the limits of its steps say."""
    versions: Mapping[str, bytes] = field(default_factory=dict)
    instances: int = 2
    spec: Callable[[Mapping[str, Any], RunPlaces, float | None], dict[str, Any]] = lambda base, places, target: {}
    """The spec of a version, given the lines on its endpoint and model, and the target of a scaled one."""
    files: Callable[[], Mapping[str, bytes]] = dict
    """Further files of the run."""
    remember: Callable[[LessonMoment, float], Mapping[str, Any]] = lambda moment, second: {}
    judge: Callable[[LessonMoment], Judgement] = lambda moment: Judgement(LessonVerdict.SHOWN, "")
    stats: Callable[[Mapping[str, Any]], list[tuple[str, str, str]]] = lambda picture: []
    """Figures of a picture of the run: label, value, and a remark."""
    plots: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    audited: bool = False
    """Whether its page shows the audit of the run, to those who may read it."""
    simulation: Simulation | None = None

    @property
    def by_learner(self) -> bool:
        """Whether the learner does the steps."""
        return bool(self.steps) and self.steps[0].report is not None

    @property
    def longest(self) -> float:
        """Seconds that the steps of the server take at the most."""
        return sum(step.limit for step in self.steps)


@dataclass(frozen=True)
class LessonStatus:
    """A lesson, its latest run, and its progress. ``removing``: what the run made is not yet all gone; ``other``: a
    challenge that is under way meanwhile, or empty; ``facts`` and ``versions``: of a lesson by the learner."""

    lesson: Lesson
    run: LiveRun | None
    steps: tuple[StepReport, ...]
    removing: bool = False
    other: str = ""
    facts: LessonFacts = field(default_factory=LessonFacts)
    versions: Mapping[str, str] = field(default_factory=dict)


# --- a simulation ---

LOOKS: tuple[dict[str, Any], ...] = (
    {"colour": "--blue"},
    {"colour": "--green", "dash": [7, 4]},
    {"colour": "--warn", "dash": [2, 4]},
    {"colour": "--bad", "dash": [12, 4]},
    {"colour": "--ink-soft", "dash": [4, 2]},
)
Stat = tuple[str, str, str, str]
"""Label, value, a remark, and a tone."""
Chart = tuple[Mapping[str, Any], str, str]
"""The chart, its title, and a remark."""
ResultTable = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Title, columns and rows; the first cell of a row is its heading."""


def choose(simulation: Simulation, query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A value for each choice; one that there is none of is left at its default."""
    chosen: dict[str, Any] = {}
    for one in simulation.choices:
        given = query.get(one.name)
        if one.many:
            values = one.default.split(",") if given is None else given
            chosen[one.name] = [value for value in values if value in one.titles]
        else:
            value = given[-1] if given else one.default
            chosen[one.name] = value if value in one.titles else one.default
    return chosen


def outcome(
    stats: Sequence[Stat],
    said: str,
    *,
    facts: Mapping[str, Any],
    further: tuple[str, str],
    findings: Sequence[str] = (),
    charts: Sequence[Chart] = (),
    tables: Sequence[ResultTable] = (),
    journal: tuple[str, Sequence[Mapping[str, Any]]] | None = None,
    people: Sequence[Mapping[str, Any]] = (),
) -> dict[str, object]:
    """Plain data. ``journal``: its title and lines; ``people``: a line
    for what each person or the server did; ``further``: what a command shows on real processes, and the command;
    ``facts``: figures behind what is shown."""
    return {
        "stats": [list(stat) for stat in stats],
        "said": said,
        "findings": list(findings),
        "charts": [list(one) for one in charts],
        "tables": [list(one) for one in tables],
        "journal": None if journal is None else {"title": journal[0], "lines": list(journal[1])},
        "people": list(people),
        "further": list(further),
        "facts": dict(facts),
    }


def line(label: str, values: Iterable[Any], look: int) -> dict[str, Any]:
    """A line of a chart."""
    return {"label": label, **LOOKS[look], "values": list(values)}


# --- steps of the learner ---


def report_steps(lesson: Lesson, facts: LessonFacts) -> tuple[StepReport, ...]:
    """A report on each step; the last one ends the run."""
    found = [replace(step.report(facts), name=step.name) for step in lesson.steps if step.report is not None]
    if facts.stranger:
        said = (
            f'There is another endpoint "{lesson.endpoint}", which is not the {lesson.name}\'s and is not touched. '
            f"Delete it if nobody needs it: tidegate delete {lesson.endpoint}"
        )
        found[:-1] = [StepReport(StepState.AHEAD, name=one.name) for one in found[:-1]]
        found[0] = replace(found[0], said=said, tone="bad")
    elif facts.ending:
        held = (StepState.READY, StepState.UNDER_WAY)
        waits = StepReport(StepState.AHEAD, f"The {lesson.name} is being ended.")
        found[:-1] = [replace(waits, name=one.name) if one.state in held else one for one in found[:-1]]
    return tuple(found)


def require_ready(lesson: Lesson, reports: Sequence[StepReport], name: str) -> tuple[LessonStep, StepReport]:
    """Raises NotFound for a step that cannot be done at all, Conflict for one that cannot be done now."""
    steps = {step.name: step for step in lesson.steps if step.label}
    name = {START: next(iter(steps)), STOP: lesson.steps[-1].name}.get(name, name)
    if name not in steps:
        raise NotFound(f"the {lesson.name} has no step to do '{name[:80]}'; it has {', '.join(steps)}")
    report = next(one for one in reports if one.name == name)
    if report.state is not StepState.READY:
        said = report.said or f"it is {report.state}"
        raise Conflict(f"step '{name}' of the {lesson.name} cannot be done now: {said}")
    return steps[name], report


# --- steps of the server ---


@dataclass(frozen=True)
class LessonProgress:
    """``begun`` and ``entered``: epoch seconds of the beginnings of the run and of its present step."""

    begun: float
    entered: float
    step: int = 0
    marks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Advance:
    progress: LessonProgress
    acts: tuple[LessonAct, ...] = ()
    end: Judgement | None = None


def advance(lesson: Lesson, progress: LessonProgress, facts: LessonFacts, now: float) -> Advance:
    """The next step with its acts, once this one is done; otherwise the same one."""
    seconds = max(0.0, now - progress.entered)  # the clock may have been set back
    learnt = lesson.remember(LessonMoment(facts, seconds, progress.marks), now - progress.begun)
    progress = replace(progress, marks={**progress.marks, **learnt})
    moment = LessonMoment(facts, seconds, progress.marks)
    if facts.failure:
        said = f"the endpoint does not serve: {facts.failure}"
        return Advance(progress, end=Judgement(LessonVerdict.FAILED, said))
    step = lesson.steps[progress.step]
    if not step.is_done(moment):
        if seconds < step.limit:
            return Advance(progress)
        if not step.optional:
            return Advance(progress, end=Judgement(LessonVerdict.NOT_SHOWN, step.missed))
    if progress.step + 1 == len(lesson.steps):
        return Advance(progress, end=lesson.judge(moment))
    following = replace(progress, step=progress.step + 1, entered=now)
    return Advance(following, lesson.steps[following.step].acts(replace(moment, seconds=0.0)))


def report_progress(lesson: Lesson, present: int, verdict: LessonVerdict | None) -> tuple[StepReport, ...]:
    """``present``: number of the step that the run is at, or ended with; ``verdict`` None: it goes on."""
    found = []
    for number, step in enumerate(lesson.steps):
        if number < present or verdict is LessonVerdict.SHOWN:
            state = StepState.DONE
        elif number > present:
            state = StepState.AHEAD if verdict is None else StepState.NEVER
        else:
            state = StepState.UNDER_WAY if verdict is None else StepState.MISSED
        found.append(StepReport(state, name=step.name))
    return tuple(found)


def await_start(instances: int) -> LessonStep:
    """The first step: until the first version serves with all of its instances."""
    return LessonStep(
        "endpoint",
        "The endpoint starts",
        is_done=lambda at: at.facts.serves and at.facts.rolling is None and (at.facts.ready or 0) >= instances,
        limit=120.0,
        missed="the endpoint did not serve within 2 minutes",
    )


def send_to_first(rate: float, seconds: float) -> LessonStep:
    """Requests to the first version for so many seconds at least, until one was answered."""
    return LessonStep(
        "first",
        f"{rate:.0f} requests a second to the first version",
        acts=lambda at: (SendRequests(rate),),
        is_done=lambda at: at.seconds >= seconds and at.facts.answered > 0,
        limit=30.0,
        missed="no request was answered",
    )


def await_update(title: str, version: str, limit: float) -> LessonStep:
    """Until the update to a version has ended, however it ended."""
    return LessonStep(
        "update",
        title,
        acts=lambda at: (DeployVersion(version),),
        is_done=lambda at: at.facts.outcome != "" and at.facts.rolling is None,
        limit=limit,
        missed=f"the update did not end within {limit:.0f} s",
    )


LAST_ANSWERS = LessonStep(
    "answers",
    "The last answers come back",
    acts=lambda at: (PlainAct.STOP_REQUESTS,),
    is_done=lambda at: at.facts.in_flight <= 0,
    limit=15.0,
    missed="some requests were not answered",
)


def keep_first(marks: Mapping[str, Any], name: str, holds: bool, value: Any) -> dict[str, Any]:
    """The value at the first moment at which something holds."""
    return {name: value} if holds and name not in marks else {}
