"""How far the lab is: a pure function of what was observed, so that a reload, a restart, a second reader and a step
done by a command all show the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.domain.errors import Conflict, NotFound
from tidegate.domain.history import Outcome

ENDPOINT = "lab-payroll-fraud"
LEAST_RATE = 1.0
"""Requests a second from which on there is traffic."""


class StepName(StrEnum):
    """In the order of the lab."""

    TRAIN = "train"
    FIRST = "first"
    TRAFFIC = "traffic"
    BETTER = "better"
    WORSE = "worse"
    EVIDENCE = "evidence"
    PRICE = "price"
    END = "end"


class StepState(StrEnum):
    AHEAD = "ahead"
    READY = "ready"
    """It can be done now."""
    UNDER_WAY = "under way"
    DONE = "done"


VERSIONS = {StepName.FIRST: "v1", StepName.BETTER: "better", StepName.WORSE: "worse"}
"""What the steps that deploy deploy."""
READ = (StepName.EVIDENCE, StepName.PRICE)
"""Steps that only show something."""


@dataclass(frozen=True)
class Tried:
    """A version of the lab that served its endpoint, or was tried."""

    version: str
    outcome: Outcome
    served: bool
    rollout: str
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the evidence of a rollout says, and whether the same follows from its kept counts."""

    rollout: str
    failed: bool
    same: bool


@dataclass(frozen=True)
class LabSeen:
    """What was observed. Versions are named as in ``VERSIONS``; ``other`` is a config that is none of them."""

    open: bool = False
    """Whether the lab was begun and not ended."""
    by: str = ""
    ending: bool = False
    stranger: bool = False
    """Whether somebody else's endpoint has the lab's name."""
    training: bool = False
    models: int = 0
    """Of the three, those that are there while they are trained."""
    trained: bool = False
    failure: str = ""
    """Why the last training failed."""
    present: bool = False
    """Whether the lab's own endpoint is there."""
    deleting: bool = False
    serving: str | None = None
    other: str | None = None
    rolling: str | None = None
    """Version of the rollout under way."""
    turning: bool = False
    """Whether that is being rolled back."""
    tried: Sequence[Tried] = field(default_factory=tuple)
    """Oldest first."""
    rate: float = 0.0
    """Requests a second that the endpoint was sent in the last ten seconds, by whomever."""
    sending: bool = False
    """Whether the server sends requests."""
    verdict: Verdict | None = None
    priced: bool = False


@dataclass(frozen=True)
class Step:
    """``said``: what is the case, or what it waits for. ``again``: it was done before and did not last."""

    name: StepName
    state: StepState
    said: str
    tone: str = ""
    again: bool = False


def judge_steps(seen: LabSeen) -> tuple[Step, ...]:
    """All steps, in their order."""
    if seen.stranger:
        said = (
            f'There is another endpoint "{ENDPOINT}", which is not the lab\'s and is not touched. Delete it if '
            f"nobody needs it: tidegate delete {ENDPOINT}"
        )
        return (
            Step(StepName.TRAIN, StepState.AHEAD, said, "bad"),
            *(Step(name, StepState.AHEAD, "") for name in list(StepName)[1:-1]),
            _end(seen),
        )
    found = [
        _train(seen),
        _first(seen),
        _traffic(seen),
        _better(seen),
        _worse(seen),
        _evidence(seen),
        _price(seen),
        _end(seen),
    ]
    if seen.ending:
        held = (StepState.READY, StepState.UNDER_WAY)
        found[:-1] = [
            Step(one.name, StepState.AHEAD, "The lab is being ended.") if one.state in held else one
            for one in found[:-1]
        ]
    return tuple(found)


def find_step(steps: Sequence[Step], name: str) -> Step:
    """Raises NotFound for a step that the lab has not."""
    for step in steps:
        if step.name == name and step.name not in READ:
            return step
    acts = ", ".join(one for one in StepName if one not in READ)
    raise NotFound(f"the lab has no step to do '{name[:80]}'; it has {acts}")


def require_ready(steps: Sequence[Step], name: str) -> Step:
    """Raises NotFound for an unknown step, Conflict for one that cannot be done now, which says what is the case."""
    step = find_step(steps, name)
    if step.state is not StepState.READY:
        raise Conflict(f"step '{step.name}' of the lab cannot be done now: {step.said or f'it is {step.state}'}")
    return step


def _train(seen: LabSeen) -> Step:
    if seen.training:
        return Step(
            StepName.TRAIN,
            StepState.UNDER_WAY,
            f"{seen.models} of 3 models are trained; their specs are made last.",
        )
    if seen.trained:
        return Step(StepName.TRAIN, StepState.DONE, "Three versions are trained.", "good")
    if seen.failure:
        return Step(StepName.TRAIN, StepState.READY, f"The training failed: {seen.failure}", "bad", again=True)
    return Step(StepName.TRAIN, StepState.READY, "Nothing is trained yet.")


def _first(seen: LabSeen) -> Step:
    name = StepName.FIRST
    if _has_served(seen, "v1"):
        return Step(name, StepState.DONE, "It serves." if seen.serving == "v1" else "It has served.", "good")
    if seen.rolling == "v1":
        return Step(name, StepState.UNDER_WAY, "Its instances are starting.")
    if not seen.trained:
        return Step(name, StepState.AHEAD, "The models have to be trained first.")
    if (busy := _busy(seen)) or seen.serving or seen.other:
        return Step(name, StepState.AHEAD, busy or "The endpoint serves another version already.")
    failed = _last(seen, "v1")
    if failed is not None:
        return Step(name, StepState.READY, f"It did not start: {failed.reason}", "bad", again=True)
    return Step(name, StepState.READY, "The endpoint is not there yet.")


def _traffic(seen: LabSeen) -> Step:
    name = StepName.TRAFFIC
    if seen.rate >= LEAST_RATE:
        return Step(name, StepState.DONE, f"{seen.rate:.0f} requests a second arrive.", "good")
    if seen.sending:
        return Step(name, StepState.UNDER_WAY, "Requests are sent; none was counted in the last ten seconds.")
    if _has_served(seen, "better") and _turned_back(seen, "worse"):
        return Step(name, StepState.DONE, "None arrive now. The steps that needed them are done.", "good")
    if not seen.serving:
        return Step(name, StepState.AHEAD, "A version has to serve first.")
    return Step(name, StepState.READY, "No requests arrive.")


def _better(seen: LabSeen) -> Step:
    name = StepName.BETTER
    if _has_served(seen, "better"):
        return Step(name, StepState.DONE, "It passed all stages and served alone.", "good")
    if seen.rolling == "better":
        return Step(name, StepState.UNDER_WAY, _describe_rolling(seen))
    if why := _waits_for(seen, "v1" if not _has_served(seen, "v1") else None):
        return Step(name, StepState.AHEAD, why)
    if (last := _last(seen, "better")) is not None:
        return Step(name, StepState.READY, f"It was rolled back: {_shorten(last.reason)}", "warn", again=True)
    return Step(name, StepState.READY, "It was not deployed yet.")


def _worse(seen: LabSeen) -> Step:
    name = StepName.WORSE
    if seen.rolling == "worse":
        return Step(name, StepState.UNDER_WAY, _describe_rolling(seen))
    if seen.serving == "worse":
        said = f"It serves alone: nothing turned it back. Undo it: tidegate rollout undo {ENDPOINT}"
        return Step(name, StepState.AHEAD, said, "bad")
    if (turned := _turned_back(seen, "worse")) is not None:
        return Step(name, StepState.DONE, f"It was rolled back: {_shorten(turned.reason)}", "good")
    if why := _waits_for(seen, "better" if not _has_served(seen, "better") else None):
        return Step(name, StepState.AHEAD, why)
    if seen.serving != "better":
        return Step(name, StepState.AHEAD, "The better version has to serve.")
    return Step(name, StepState.READY, "It was not deployed yet.", again=_last(seen, "worse") is not None)


def _evidence(seen: LabSeen) -> Step:
    name, turned = StepName.EVIDENCE, _turned_back(seen, "worse")
    if turned is None:
        return Step(name, StepState.AHEAD, "The worse version has to be rolled back first.")
    found = seen.verdict
    if found is None or found.rollout != turned.rollout:
        return Step(name, StepState.AHEAD, "No evidence of that rollout is kept.", "warn")
    if not found.same:
        return Step(name, StepState.AHEAD, "The verdict does not follow from the counts that are kept.", "bad")
    said = "The verdict was computed again from the counts that are kept, and is the same"
    why = "" if found.failed else "; it was not the evidence that rolled the version back"
    return Step(name, StepState.DONE, f"{said}{why}.", "good")


def _price(seen: LabSeen) -> Step:
    if not (seen.present and seen.priced):
        return Step(StepName.PRICE, StepState.AHEAD, "The endpoint has to be there.")
    if _evidence(seen).state is not StepState.DONE:
        return Step(StepName.PRICE, StepState.AHEAD, "It is counted since the endpoint is there.")
    return Step(StepName.PRICE, StepState.DONE, "Counted from the hours of its instances.", "good")


def _end(seen: LabSeen) -> Step:
    if seen.ending:
        said = "Requests under way are answered, then the endpoint and all that it needed is removed."
        return Step(StepName.END, StepState.UNDER_WAY, said)
    if seen.open:
        return Step(StepName.END, StepState.READY, f"The lab was begun by {seen.by}.")
    return Step(StepName.END, StepState.AHEAD, "There is nothing to remove.")


def _busy(seen: LabSeen) -> str:
    """Why nothing can be deployed now; empty if something can."""
    if seen.deleting:
        return "The endpoint is being deleted."
    if seen.rolling is not None:
        return f"Another rollout is under way: {seen.rolling}."
    return ""


def _waits_for(seen: LabSeen, before: str | None) -> str:
    """What a further version waits for; ``before`` names the version that has to have served."""
    if before is not None:
        return f"Version {before} has to serve first."
    if busy := _busy(seen):
        return busy
    if not seen.trained:
        return "The models have to be trained again: their files are gone."
    if seen.other is not None:
        return f"The endpoint serves {seen.other}, which is none of the lab's versions."
    if not seen.serving:
        return "No version serves."
    if seen.rate < LEAST_RATE:
        return "Requests have to arrive: without any, a stage would be held, since nothing is known of it."
    return ""


def _describe_rolling(seen: LabSeen) -> str:
    return "It is being rolled back." if seen.turning else "It is being rolled out."


def _shorten(reason: str) -> str:
    return reason.removeprefix("Deployment rolled back: ")


def _last(seen: LabSeen, version: str) -> Tried | None:
    return next((one for one in reversed(seen.tried) if one.version == version), None)


def _has_served(seen: LabSeen, version: str) -> bool:
    return seen.present and any(one.version == version and one.served for one in seen.tried)


def _turned_back(seen: LabSeen, version: str) -> Tried | None:
    """The last time that a version was rolled back, if that was the last time that it was tried."""
    last = _last(seen, version) if seen.present else None
    return last if last is not None and last.outcome is Outcome.ROLLED_BACK and not last.served else None
