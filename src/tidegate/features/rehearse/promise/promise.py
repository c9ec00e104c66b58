"""Compute what a rollout can promise: the smallest fault that it detects, what a bad version does until then, and
what to change if that is not good enough."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tidegate.domain.alarm import Alarm
from tidegate.domain.assurance import Assurance
from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import Comparison, EvidenceAction, EvidenceConfig, rolls_back
from tidegate.domain.rollout import RolloutPlan, RolloutStage
from tidegate.domain.traffic import WHOLE
from tidegate.features.evidence.judge import false_alarm_rates, replay_rate
from tidegate.features.evidence.sentences import describe_seconds
from tidegate.features.rehearse.promise import alarm_model, proposals, schedule
from tidegate.features.rehearse.promise.baseline import Baseline, Quantity, VersionFault
from tidegate.features.rehearse.promise.detection import AlarmWatch, PromiseTerms, RolloutSetting
from tidegate.features.rehearse.promise.evidence_kinds import EvidenceKind, KindTerms, list_kinds
from tidegate.features.rehearse.promise.evidence_power import smallest_difference
from tidegate.features.rehearse.promise.harm_power import HarmPromise, promise_harms
from tidegate.features.rehearse.promise.label_power import LabelPromise, promise_labels
from tidegate.features.rehearse.promise.passage import ComparedStage
from tidegate.features.rehearse.promise.proposals import Proposal
from tidegate.rollout.evidence_rule import expect_requests
from tidegate.statistics.budgets import find_room


@dataclass(frozen=True)
class StagePromise:
    """One stage of the rollout. ``share``: percent of the requests; ``bake``: seconds; ``requests`` of the new
    version during the bake."""

    share: float
    bake: float
    requests: float


@dataclass(frozen=True)
class AlarmPromise:
    """The faults that one alarm detects. ``smallest``: for each stage, the smallest fault that fires the alarm by its
    end with the wanted power, in the unit of ``VersionFault``; None where no fault does. ``false_alarm``: the
    probability that the alarm rolls back a good version. ``exact``: computed without approximation. ``unknown``: why
    the alarm cannot be modelled; the other fields are then empty."""

    name: str
    quantity: Quantity | None
    smallest: tuple[float | None, ...]
    false_alarm: float
    exact: bool
    unknown: str | None = None


@dataclass(frozen=True)
class EvidencePromise:
    """The differences that one comparison of the two versions of a variant finds. ``smallest``: for each stage, the
    smallest difference that is found by its end with the wanted power, as a part of the requests (0 to 1): further
    ones that fail, or that lie beyond a threshold; None where no difference is. ``false_alarm``: upper bound of the
    probability that the comparison rolls back an equal version; 0 if it rolls nothing back."""

    comparison: Comparison
    variant: str
    smallest: tuple[float | None, ...]
    false_alarm: float


@dataclass(frozen=True)
class FaultPromise:
    """The detection of one fault that must be detected. ``seen``: detected with the wanted power by the end of the
    first bake. ``stage``: the first stage by whose end it is; None: not at all. ``by_stage``: power by the end of
    each stage. ``requests`` and ``seconds`` until rollback: mean, and 95th percentile of bad versions (None: more
    than 5 of 100 are never rolled back)."""

    quantity: Quantity
    size: float
    seen: bool
    stage: int | None
    alarm: str | None
    by_stage: tuple[float, ...]
    requests: float
    most_requests: float | None
    seconds: float
    most_seconds: float | None
    proposals: tuple[Proposal, ...] = ()
    first: float = 0.0
    """Power by the end of the first bake."""


@dataclass(frozen=True)
class Promise:
    """The promise of a rollout. ``false_alarm``: upper bound of the probability that an alarm or evidence rolls back
    a good version. ``seconds``: duration of a successful rollout. ``unwatched``: quantities that no alarm of the
    rollout watches."""

    stages: tuple[StagePromise, ...]
    alarms: tuple[AlarmPromise, ...]
    wanted: tuple[FaultPromise, ...]
    false_alarm: float
    seconds: float
    power: float
    false_alarms: float
    unwatched: tuple[Quantity, ...]
    evidence: tuple[EvidencePromise, ...] = ()
    labels: tuple[LabelPromise, ...] = ()
    kinds: tuple[EvidenceKind, ...] = ()
    harms: tuple[HarmPromise, ...] = ()
    """What an assurance needs."""

    @property
    def kept(self) -> bool:
        """Whether the first bake detects all wanted faults, and false alarms are as rare as demanded."""
        return all(one.seen for one in self.wanted) and self.false_alarm <= self.false_alarms


def promise(
    plan: RolloutPlan,
    alarms: Sequence[Alarm],
    traffic_rps: float,
    baseline: Baseline,
    wanted: Mapping[Quantity, float],
    terms: PromiseTerms | None = None,
) -> Promise:
    """Compute the promise of a rollout by ``plan`` that ``alarms`` guard (only those that the plan names; others
    roll nothing back).

    ``traffic_rps``: requests per second to the endpoint. ``baseline``: behaviour of a good version. ``wanted``:
    for each quantity the rise to detect, in the unit of ``VersionFault``. Raises Invalid for senseless values."""
    terms = terms or PromiseTerms()
    _check(traffic_rps, wanted, terms)
    guards = [alarm for alarm in alarms if alarm.name in plan.alarms]
    watching = {alarm.name: _make_watch(alarm, plan, traffic_rps, baseline, terms) for alarm in guards}
    known = [one for one in watching.values() if one is not None]
    said = tuple(_promise_alarm(alarm, watching[alarm.name], baseline, terms) for alarm in guards)
    setting = RolloutSetting(plan, traffic_rps, baseline, terms.startup)
    parts = schedule.make_segments(plan, terms.startup)
    compared = () if plan.evidence is None else tuple(_promise_evidence(plan.evidence, setting, terms))
    return Promise(
        stages=tuple(StagePromise(p.share * 100, p.seconds, traffic_rps * p.share * p.seconds) for p in parts),
        alarms=said,
        wanted=tuple(_promise_fault(quantity, size, known, setting, terms) for quantity, size in wanted.items()),
        false_alarm=min(1.0, sum(one.false_alarm for one in said) + _false_rollbacks(plan, compared)),
        seconds=schedule.duration(plan, terms.startup),
        power=terms.power,
        false_alarms=terms.false_alarms,
        unwatched=tuple(q for q in Quantity if all(one.quantity is not q for one in said)),
        evidence=compared,
        labels=()
        if plan.evidence is None
        else tuple(promise_labels(plan.evidence, terms.power, _parts_of(terms))),
        kinds=() if plan.evidence is None else tuple(_list_kinds(plan.evidence, setting, terms, compared)),
        harms=() if plan.evidence is None else promise_assurance(plan.evidence, setting, terms),
    )


def promise_assurance(
    config: EvidenceConfig, setting: RolloutSetting, terms: PromiseTerms
) -> tuple[HarmPromise, ...]:
    """Promise what each harm of an assurance takes. Raises Invalid for one that cannot be ruled out in time."""
    found = tuple(
        harm
        for variant, part in (terms.parts or {"": 1.0}).items()
        for harm in promise_harms(config, variant, _compared_stages(setting, terms, part), setting.baseline)
    )
    for one in found:
        if not one.reached:
            raise Invalid(_refuse_harm(one, setting.rate))
    if config.assure is not None and config.assure.ramp:
        _check_room(config.assure, config.deadline, setting)
    return found


def _check_room(asked: Assurance, deadline: int, setting: RolloutSetting) -> None:
    """Raise Invalid for budgets that have no room for the first stage that they choose, not even if the one before it
    goes on until the deadline, in seconds, and no request fails. After copies the first share is chosen, too."""
    first, *others = (one for one in setting.plan.stages if one.share)
    copied = not setting.plan.stages[0].share
    if copied:
        _refuse_room(first, setting.rate, _find_room(asked, 0))
    if not others or others[0].share > asked.before or others[0].holdback:
        return
    per_second = setting.rate * first.share / WHOLE
    counts = [round(per_second * (first.bake + deadline * part)) for part in (0, 0.01, 0.03, 0.1, 0.3, 1)]
    possible = (count for count in counts if asked.exposure is None or count < asked.exposure)
    most = max((_find_room(asked, count, choice=int(copied)) for count in possible), default=0.0)
    _refuse_room(others[0], setting.rate, most)


def _refuse_room(stage: RolloutStage, rate: float, room: float) -> None:
    needed = expect_requests(stage, rate)
    if room < needed:
        raise Invalid(
            f"evidence.assure: ramp: auto: the budgets never have room for the stage of {stage.share / 100:g} % at"
            f" {rate:g} requests per second: it needs {needed:,.0f}, and they allow {room:,.0f}; what would do: a"
            " larger budget, smaller steps, or a shorter wait"
        )


def _find_room(asked: Assurance, requests: int, choice: int = 0) -> float:
    return find_room(asked.count_left(requests, 0), (requests, 0), asked.missed, choice)


def _refuse_harm(one: HarmPromise, rate: float) -> str:
    of = f" of variant {one.variant}" if one.variant else ""
    takes = "any number is too few" if one.count is None else f"it takes about {one.count:,} {one.counted}"
    after = "" if one.seconds is None else f" ({describe_seconds(math.ceil(one.seconds))})"
    until = "" if one.most_seconds is None else f" in {describe_seconds(math.ceil(one.most_seconds))}"
    return (
        f"evidence.assure: {one.harm}{of} cannot be ruled out before the deadline at {rate:g} requests per second:"
        f" {takes}{after}, and there are {one.has or 0:,}{until}; what would do: {', or '.join(one.remedies)}"
    )


def _list_kinds(
    config: EvidenceConfig, setting: RolloutSetting, terms: PromiseTerms, compared: Iterable[EvidencePromise]
) -> Iterator[EvidenceKind]:
    stages = {name: _compared_stages(setting, terms, part) for name, part in (terms.parts or {"": 1.0}).items()}
    smallest = {(one.comparison, one.variant): one.smallest for one in compared}
    return list_kinds(config, KindTerms(stages, smallest, setting.baseline, terms))


def _compared_stages(setting: RolloutSetting, terms: PromiseTerms, part: float) -> list[ComparedStage]:
    segments = schedule.make_segments(setting.plan, terms.startup)
    return [ComparedStage(one.share, one.seconds, setting.rate * part) for one in segments]


def _check(rate: float, wanted: Mapping[Quantity, float], terms: PromiseTerms) -> None:
    if not 0 < rate <= 1e7:
        raise Invalid(f"traffic of {rate:g} requests per second: give a rate above 0 and up to ten million")
    for what, part in (("power", terms.power), ("false alarms", terms.false_alarms)):
        if not 0 < part < 1:
            raise Invalid(f"{what} {part:g}: must lie between 0 and 1")
    for quantity, size in wanted.items():
        if size == 0:
            raise Invalid(f"{quantity}=0: give a rise above 0")
        VersionFault.of(quantity, size)


def _make_watch(
    alarm: Alarm, plan: RolloutPlan, rate: float, baseline: Baseline, terms: PromiseTerms
) -> AlarmWatch | None:
    if alarm_model.unknown_reason(alarm, baseline) is not None:
        return None
    part = terms.parts.get(alarm.dimensions.get(alarm_model.VARIANT, ""), 1.0)
    return AlarmWatch(alarm, RolloutSetting(plan, rate * part, baseline, terms.startup))


def _promise_alarm(
    alarm: Alarm, watching: AlarmWatch | None, baseline: Baseline, terms: PromiseTerms
) -> AlarmPromise:
    quantity = alarm_model.watched_quantity(alarm)
    if watching is None or quantity is None:
        return AlarmPromise(
            alarm.name, quantity, (), 0.0, False, alarm_model.unknown_reason(alarm, baseline) or "not computed"
        )
    stages = range(len(watching.setting.plan.stages))
    smallest = tuple(watching.smallest(quantity, stage, terms.power) for stage in stages)
    return AlarmPromise(alarm.name, quantity, smallest, watching.false_alarm(), watching.exact)


def _false_rollbacks(plan: RolloutPlan, compared: Iterable[EvidencePromise]) -> float:
    """Return the upper bound of the probability that comparisons or a replay roll back a good version."""
    config = plan.evidence
    acts = config is not None and config.action is EvidenceAction.ROLLBACK
    return sum(one.false_alarm for one in compared) + (
        replay_rate(config, 1) if acts and config is not None else 0.0
    )


def _parts_of(terms: PromiseTerms) -> int:
    """Return the number of variants."""
    return max(1, len(terms.parts))


def _promise_evidence(
    config: EvidenceConfig, setting: RolloutSetting, terms: PromiseTerms
) -> Iterator[EvidencePromise]:
    variants = terms.parts or {"": 1.0}
    rates = false_alarm_rates(config, len(variants))
    usual = setting.baseline.error_rate + setting.baseline.refusal_rate
    for variant, part in variants.items():
        stages = _compared_stages(setting, terms, part)
        for comparison in config.compare:
            smallest = tuple(
                smallest_difference(comparison, config, stages[: place + 1], usual, terms.power, len(variants))
                for place in range(len(stages))
            )
            labelled = config.judging is not None and config.judging.labels > 0
            acts = rolls_back(config, comparison, by_people=labelled)
            yield EvidencePromise(comparison, variant, smallest, rates[comparison] if acts else 0.0)


def _promise_fault(
    quantity: Quantity, size: float, known: Iterable[AlarmWatch], setting: RolloutSetting, terms: PromiseTerms
) -> FaultPromise:
    fault = VersionFault.of(quantity, size)
    watching = [one for one in known if alarm_model.watched_quantity(one.alarm) is quantity]
    best = max(watching, key=lambda one: one.by_stage(fault), default=None)
    if best is None:
        better = _propose_alarm(quantity, size, setting, terms)
        return FaultPromise(quantity, size, False, None, None, (), 0.0, None, 0.0, None, better)
    caught = best.detect(fault)
    stage = next((n for n, chance in enumerate(caught.by_stage) if chance >= terms.power), None)
    first = proposals.first_baking_stage(best.setting.plan)
    seen = stage is not None and stage <= first
    good = seen and best.false_alarm() <= terms.false_alarms
    return FaultPromise(
        quantity=quantity,
        size=size,
        seen=seen,
        stage=stage,
        alarm=best.alarm.name,
        by_stage=caught.by_stage,
        requests=caught.requests,
        most_requests=caught.most_requests,
        seconds=caught.seconds,
        most_seconds=caught.most_seconds,
        first=caught.by_stage[first],
        proposals=() if good else proposals.propose(best, quantity, size, terms.power, terms.false_alarms),
    )


def _propose_alarm(
    quantity: Quantity, size: float, setting: RolloutSetting, terms: PromiseTerms
) -> tuple[Proposal, ...]:
    """Propose the missing alarm, or, if it depends on the model, the number of requests to test."""
    alarm = proposals.missing_alarm(quantity)
    if alarm is None:
        return proposals.propose_sample(setting, quantity, size, terms.power, terms.false_alarms)
    if alarm_model.unknown_reason(alarm, setting.baseline) is not None:
        return ()
    return proposals.propose(AlarmWatch(alarm, setting), quantity, size, terms.power, terms.false_alarms)
