"""Runs seeds, shrinks failures and prints them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tests.loops.faults import describe_fault
from tests.loops.isolation import check_plan
from tests.loops.plans import WorldPlan, draw_plan
from tidegate.simulation.faults import Fault
from tidegate.simulation.invariants import InvariantBroken


@dataclass(frozen=True)
class FailedWorld:
    """``keep``: indices of the seed's faults that are needed for the failure."""

    plan: WorldPlan
    keep: tuple[int, ...]
    message: str
    timeline: tuple[str, ...]

    @property
    def command(self) -> str:
        kept = ",".join(map(str, self.keep)) or "none"
        return f"python -m tests.loops {self.plan.seed} --keep {kept}"

    def __str__(self) -> str:
        return "\n".join((f"seed {self.plan.seed}: {self.message}", f"replay: {self.command}", *self.timeline))


def first_failure(seeds: Iterable[int]) -> FailedWorld | None:
    """The first seed whose world breaks an invariant, shrunk."""
    for seed in seeds:
        plan = draw_plan(seed)
        if find_broken(plan) is not None:
            return shrink(plan)
    return None


def find_broken(plan: WorldPlan) -> str | None:
    """The broken invariant; None if all hold."""
    try:
        check_plan(plan)
    except InvariantBroken as error:
        return str(error)
    return None


def keep_faults(plan: WorldPlan, places: Sequence[int]) -> WorldPlan:
    return replace(plan, faults=tuple(plan.faults[place] for place in places))


def shrink(plan: WorldPlan) -> FailedWorld:
    """Drop faults as long as the world still breaks the same invariant (delta debugging: halves, then smaller parts,
    then one by one)."""
    everything = tuple(range(len(plan.faults)))
    which = _invariant_of(find_broken(plan) or "")

    def fails(places: Sequence[int]) -> bool:
        message = find_broken(keep_faults(plan, places))
        return message is not None and _invariant_of(message) == which

    needed, parts = list(everything), 2
    while needed:
        size = max(1, len(needed) // parts)
        cuts = [needed[:at] + needed[at + size :] for at in range(0, len(needed), size)]
        smaller = next((cut for cut in cuts if fails(cut)), None)
        if smaller is not None:
            needed = smaller
        elif size == 1:
            break
        else:
            parts *= 2
    return replay(plan, tuple(needed))


def replay(plan: WorldPlan, places: tuple[int, ...]) -> FailedWorld:
    """Run the world with these faults and record its timeline. ``message`` is empty if all invariants hold."""
    timeline: list[tuple[float, str]] = []
    message = ""
    try:
        check_plan(keep_faults(plan, places), timeline)
    except InvariantBroken as error:
        message = str(error)
    lines = [f"{at:9.3f} s  {text}" for at, text in timeline]
    return FailedWorld(plan, places, message, (*_describe_plan(plan, places), *lines))


def _describe_plan(plan: WorldPlan, places: Sequence[int]) -> list[str]:
    stages = plan.deployment.rolling or plan.deployment.blue_green
    guards = ", ".join(
        f"{one.name} {one.statistic} > {one.threshold:g}, "
        f"{one.datapoints_to_alarm} of {one.evaluation_periods} x {one.period} s"
        for one in plan.guards
    )
    faults = [
        f"fault {place}: {_describe_when(plan.faults[place])}: {describe_fault(plan.faults[place])}"
        for place in places
    ]
    return [
        f"rollout: {stages}",
        f"guards: {guards}; {plan.rate:g} requests/s; neighbour {plan.neighbour}",
        *faults,
    ]


def _describe_when(fault: Fault) -> str:
    when = fault.when
    if when.phase is None:
        return f"{when.after:.1f} s after the start"
    return f"{when.after:.2f} s after {when.phase} no. {when.nth}"


def _invariant_of(message: str) -> str:
    return message.split(" ", 1)[0]
