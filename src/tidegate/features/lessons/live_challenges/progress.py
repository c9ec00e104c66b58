"""How a live challenge goes on: stages one after the other, each until it has seen what it waits for. Pure.

What was not seen is not known, and what is not known never ends a stage well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tidegate.features.lessons.challenge_records import Verdict


@dataclass(frozen=True)
class Facts:
    """What was last seen. Empty texts, None and False: not known, or not there. ``share``: percent of the requests
    on the new version; ``service``: milliseconds of a request in the model, the median of the last seconds."""

    serves: bool = False
    failure: str = ""
    config: str = ""
    updating: bool = False
    outcome: str = ""
    """Of the last update: its last phase."""
    reason: str = ""
    desired: int | None = None
    ready: int | None = None
    share: float | None = None
    alarm: str = ""
    alarm_reason: str = ""
    drift: str = ""
    drift_rows: int = 0
    findings: tuple[str, ...] = ()
    scaled: bool = False
    service: float | None = None
    sent: int = 0
    answered: int = 0
    failed: int = 0
    by_config: Mapping[str, int] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        return self.sent - self.answered - self.failed


@dataclass(frozen=True)
class Deploy:
    """``version``: of the challenge's models. ``target``: requests at one time that an instance should have, where it
    is scaled."""

    version: str
    target: float | None = None


@dataclass(frozen=True)
class Send:
    """Requests per second from now on, in place of those before, of the file that is named."""

    rate: float
    requests: str = "usual"


@dataclass(frozen=True)
class Halt:
    """No further requests."""


@dataclass(frozen=True)
class Retry:
    """Try the last version again, without an override."""


Act = Deploy | Send | Halt | Retry


@dataclass(frozen=True)
class Progress:
    """``begun`` and ``entered``: epoch seconds of the run's and of the stage's beginning; ``marks``: what is
    remembered."""

    begun: float
    entered: float
    stage: int = 0
    marks: Mapping[str, Any] = field(default_factory=dict)

    def seconds(self, now: float) -> float:
        """Of the stage so far; none if the clock was set back."""
        return max(0.0, now - self.entered)


@dataclass(frozen=True)
class Moment:
    """What a stage is asked about: the facts, seconds of it so far, and what is remembered."""

    facts: Facts
    seconds: float
    marks: Mapping[str, Any]


@dataclass(frozen=True)
class LiveStage:
    """``title`` says what happens; ``limit``: seconds after which the run ends, with ``unseen`` as the reason; an
    ``optional`` stage is then over."""

    title: str
    limit: float
    is_done: Callable[[Moment], bool]
    unseen: str
    begins: Callable[[Moment], tuple[Act, ...]] = lambda moment: ()
    optional: bool = False


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    said: str


@dataclass(frozen=True)
class Challenge:
    """``versions``: model files by name, of which the first is deployed at the beginning; ``instances``: how many run
    at the most. ``remember`` returns what
    is to be remembered of a moment, ``judge`` how it ended once all stages have."""

    name: str
    versions: Mapping[str, bytes]
    instances: int
    stages: tuple[LiveStage, ...]
    remember: Callable[[Moment, float], Mapping[str, Any]]
    judge: Callable[[Moment], Judgement]
    about: str
    commands: tuple[tuple[str, str], ...]
    """What each shows, and the command with ``{name}`` for the endpoint."""

    @property
    def longest(self) -> float:
        """Seconds that a run takes at the most."""
        return sum(stage.limit for stage in self.stages)


@dataclass(frozen=True)
class Step:
    progress: Progress
    acts: tuple[Act, ...] = ()
    end: Judgement | None = None


def advance(challenge: Challenge, progress: Progress, facts: Facts, now: float) -> Step:
    """The next stage once this one is done, with what it begins with; otherwise the same one."""
    moment = Moment(facts, progress.seconds(now), progress.marks)
    progress = replace(progress, marks={**progress.marks, **challenge.remember(moment, now - progress.begun)})
    moment = replace(moment, marks=progress.marks)
    if facts.failure:
        return Step(progress, end=Judgement(Verdict.FAILED, f"the endpoint does not serve: {facts.failure}"))
    stage = challenge.stages[progress.stage]
    if not stage.is_done(moment):
        if moment.seconds < stage.limit:
            return Step(progress)
        if not stage.optional:
            return Step(progress, end=Judgement(Verdict.NOT_SHOWN, stage.unseen))
    if progress.stage + 1 == len(challenge.stages):
        return Step(progress, end=challenge.judge(moment))
    following = replace(progress, stage=progress.stage + 1, entered=now)
    acts = challenge.stages[following.stage].begins(replace(moment, seconds=0.0))
    return Step(following, acts)


def await_start(instances: int) -> LiveStage:
    """The first stage: until the first version serves with all of its instances."""
    return LiveStage(
        "The endpoint starts",
        120.0,
        lambda at: at.facts.serves and not at.facts.updating and (at.facts.ready or 0) >= instances,
        "the endpoint did not serve within 2 minutes",
    )


def send_to_first(rate: float, seconds: float) -> LiveStage:
    """Requests to the first version, ``rate`` a second for ``seconds`` at least, until one was answered."""
    return LiveStage(
        f"{rate:.0f} requests a second to the first version",
        30.0,
        lambda at: at.seconds >= seconds and at.facts.answered > 0,
        "no request was answered",
        lambda at: (Send(rate),),
    )


LAST_ANSWERS = LiveStage(
    "The last answers come back",
    15.0,
    lambda at: at.facts.in_flight <= 0,
    "some requests were not answered",
    lambda at: (Halt(),),
)


def keep_first(marks: Mapping[str, Any], name: str, holds: bool, at: float) -> dict[str, Any]:
    """Seconds of the run at which something was first seen."""
    return {name: round(at, 1)} if holds and name not in marks else {}
