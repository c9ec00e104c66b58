"""Alarms that roll back at most one of a hundred good versions and detect the harm that matters, for the rollout
that the target performs; where there are none, why."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tidegate.domain.alarm import Alarm
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.rollout import RolloutPlan
from tidegate.domain.traffic import WHOLE
from tidegate.features.planner import units
from tidegate.features.planner.flowchart import PlanNote
from tidegate.features.planner.plan_promise import compile_rollout, format_rise, matters, usual_baseline
from tidegate.features.rehearse.promise import Quantity, VersionFault
from tidegate.features.rehearse.promise.alarm_model import watched_quantity
from tidegate.features.rehearse.promise.detection import (
    DEFAULT_FALSE_ALARMS,
    DEFAULT_POWER,
    AlarmWatch,
    RolloutSetting,
)
from tidegate.features.rehearse.promise.proposals import (
    Proposal,
    best_power,
    first_baking_stage,
    propose_sample,
    solve_alarm,
)
from tidegate.spec.unit_texts import threshold_text

SHAPES = (
    *((60, 2, 3), (60, 3, 3), (60, 3, 5), (60, 5, 5)),
    *((300, 2, 2), (300, 2, 3), (300, 3, 6), (900, 1, 1), (900, 2, 2), (900, 2, 3), (1800, 1, 1), (3600, 2, 2)),
)
"""Alarms to try: seconds per period, periods that must breach, periods evaluated. SageMaker publishes every
minute."""
STATISTICS = ("p99", "p90", "p50")
"""Of latencies, in the order of what clients notice."""
BAKES = (3600, 7200, 14_400, 43_200, 86_400)
"""Seconds of bakes to try where the planned one is too short, as far as the target can."""


@dataclass(frozen=True)
class SolvedAlarms:
    """``alarms`` are the changed members of the spec's alarms by key, ``bake`` the seconds of the bake that they need
    (0: the planned one), ``notes`` the faults that no alarm can detect, each with the proof."""

    alarms: Mapping[str, Mapping[str, Any]]
    bake: int
    notes: tuple[PlanNote, ...]


def solve(facts: Mapping[str, Any], wish: DesiredDeployment, target: str, longest: int) -> SolvedAlarms:
    """Solve for the alarms that guard the rollout; ``longest`` is the longest bake that the target can have, in
    seconds. No alarm guards what SageMaker does all at once."""
    plan, _ = compile_rollout(wish, target)
    guards = {one.name: one for one in wish.alarms if one.name in plan.alarms}
    budget = DEFAULT_FALSE_ALARMS / max(1, len(guards))
    setting = RolloutSetting(plan, facts["rate"], usual_baseline(facts))
    changed: dict[str, Mapping[str, Any]] = {}
    notes, bake = [], 0
    for quantity, size in matters(facts).items():
        alarm = next((one for one in guards.values() if watched_quantity(one) is quantity), None)
        if alarm is None:
            continue
        watch = AlarmWatch(alarm, setting)
        seen, rare = _power(watch, quantity, size), watch.false_alarm() <= budget
        if seen >= DEFAULT_POWER and rare:
            continue
        wanted, found = _search(watch, quantity, size, budget, longest, rare=rare)
        if found is not None:
            changed[alarm.name.removeprefix(f"{wish.config.name}-")] = _members(found, alarm)
            seen = found.power
        if seen < DEFAULT_POWER or found is None:
            notes.append(_prove(setting, quantity, size, max(wanted, longest), seen))
        else:
            bake = max(bake, wanted)
    return SolvedAlarms(changed, bake, tuple(notes))


def _power(watch: AlarmWatch, quantity: Quantity, size: float) -> float:
    return watch.by_stage(VersionFault.of(quantity, size))[first_baking_stage(watch.setting.plan)]


def _search(
    now: AlarmWatch, quantity: Quantity, size: float, budget: float, longest: int, *, rare: bool
) -> tuple[int, Proposal | None]:
    """The shortest bake with an alarm that does, and that alarm; where no bake does, the planned one with the best
    alarm, None for the planned alarm if it is ``rare`` that it rolls back a good version and none can do."""
    first = now.setting.plan.stages[first_baking_stage(now.setting.plan)].bake
    if not first:
        return first, None
    bakes = sorted({first, *(one for one in (*BAKES, longest) if first < one <= longest)})
    able = [bake for bake in bakes if _may_detect(now.setting, quantity, size, budget, bake)]
    for bake in able:
        for found in _solutions(now, quantity, size, budget, bake):
            if found.power >= DEFAULT_POWER:
                return bake, found
    if rare and not able:
        return first, None
    return first, max(_solutions(now, quantity, size, budget, first), key=lambda one: one.power, default=None)


def _solutions(now: AlarmWatch, quantity: Quantity, size: float, budget: float, bake: int) -> Iterator[Proposal]:
    setting = replace(now.setting, plan=_with_bake(now.setting.plan, bake))
    shapes = [one for one in SHAPES if _expected(now.setting, one[0] * one[2]) >= 1] or SHAPES[-1:]
    for statistic in STATISTICS if quantity is Quantity.LATENCY else (now.alarm.statistic,):
        watch = AlarmWatch(replace(now.alarm, statistic=statistic), setting)
        found = solve_alarm(watch, quantity, size, DEFAULT_POWER, budget, shapes)
        if found is not None:
            yield found


def _may_detect(setting: RolloutSetting, quantity: Quantity, size: float, budget: float, bake: int) -> bool:
    """Whether the first bake has as many requests as the best test needs: without them no alarm can."""
    have, needed = _expected(setting, bake), _fewest(setting, quantity, size, budget)
    if needed is None or have >= needed:
        return needed is not None
    return quantity.is_rate and _best_power(setting, quantity, size, budget, have) >= DEFAULT_POWER


def _best_power(setting: RolloutSetting, quantity: Quantity, size: float, budget: float, have: float) -> float:
    good = setting.baseline
    bad = good.with_fault(VersionFault.of(quantity, size))
    return best_power(math.ceil(have), good.rate(quantity), bad.rate(quantity), budget)


def _fewest(setting: RolloutSetting, quantity: Quantity, size: float, budget: float) -> int | None:
    sample = propose_sample(setting, quantity, size, DEFAULT_POWER, budget)
    return sample[0].requests if sample else None


def _expected(setting: RolloutSetting, bake: int) -> float:
    stage = setting.plan.stages[first_baking_stage(setting.plan)]
    return setting.rate * bake * stage.share / WHOLE


def _with_bake(plan: RolloutPlan, bake: int) -> RolloutPlan:
    place = first_baking_stage(plan)
    stages = (*plan.stages[:place], replace(plan.stages[place], bake=bake), *plan.stages[place + 1 :])
    return replace(plan, stages=stages)


def _members(found: Proposal, alarm: Alarm) -> dict[str, Any]:
    assert found.threshold is not None and found.period is not None
    return {
        "statistic": found.statistic,
        "above": threshold_text(found.threshold, alarm.metric),
        "period": units.format_spec_time(found.period),
        "periods": found.periods,
        "datapoints": found.datapoints,
    }


def _prove(setting: RolloutSetting, quantity: Quantity, size: float, bake: int, seen: float) -> PlanNote:
    rise = format_rise(quantity, size)
    needed, have = _fewest(setting, quantity, size, DEFAULT_FALSE_ALARMS), _expected(setting, bake)
    why = f"none of {len(SHAPES)} combinations of period and counts does at any threshold"
    if needed is not None and needed > have:
        shown = f"{have:,.0f}" if have >= 1 else "less than one"
        why = (
            f"the best test needs {needed:,} requests of the new version, and a bake of"
            f" {units.format_seconds(bake)} has {shown}"
        )
        if quantity.is_rate:
            most = _best_power(setting, quantity, size, DEFAULT_FALSE_ALARMS, have)
            why += f", of which no test sees it in more than {most:.0%} (Neyman and Pearson)"
    say = f"no alarm sees {rise} with 95 % and rolls back at most 1 % of good versions: {why};"
    say += f" the alarm of the plan sees it in {seen:.0%} of rollouts"
    change = "a replay or a shadow counts as many requests beforehand"
    return PlanNote("promise", say, change if needed is None else f"{change}: {needed:,}")
