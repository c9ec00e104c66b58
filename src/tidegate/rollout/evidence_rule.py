"""Rules for the effect of a verdict on a stage: for evidence, and for its absence. Pure.

Missing, late or unusable data is neither a pass nor a failure: it holds the stage until the deadline, and then
does what the settings say. So does a difference that is rising, unless the settings let it pass. What is undecided
without that lets the stage end. Where every comparison that lacks data can never be judged, as its data cannot be
compared at all, nothing is waited for. While nothing compares versions, lack of data lets no stage end. The unit
tests have the whole truth table."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from tidegate.domain.assurance import Assurance
from tidegate.domain.endpoint import Rollout
from tidegate.domain.evidence import (
    EvidenceAction,
    EvidenceConfig,
    Explanation,
    NoDataAction,
    RisingAction,
    Verdict,
    action_on,
)
from tidegate.domain.finding import Finding
from tidegate.domain.observation import Observation
from tidegate.domain.rollout import Condition, Phase, RolloutStage
from tidegate.domain.traffic import WHOLE
from tidegate.statistics.budgets import find_room

HELD_BY_EVIDENCE = "HeldByEvidence"
LONGEST = 366 * 86_400
"""Seconds ahead beyond which no time is named."""


class Ruling(StrEnum):
    """Decision that the evidence allows. HOLD waits for evidence, GATE for a person."""

    ADVANCE = "advance"
    HOLD = "hold"
    GATE = "gate"
    ROLL_BACK = "roll_back"


_SEVERITY = (Ruling.ADVANCE, Ruling.HOLD, Ruling.GATE, Ruling.ROLL_BACK)
_AT_DEADLINE = {
    NoDataAction.ROLLBACK: Ruling.ROLL_BACK,
    NoDataAction.GATE: Ruling.GATE,
    NoDataAction.ADVANCE: Ruling.ADVANCE,
}


def rule(
    config: EvidenceConfig,
    finding: Finding | None,
    *,
    promoted: bool,
    overdue: bool,
    rising: bool = False,
    action: EvidenceAction | None = None,
) -> Ruling:
    """Return the ruling on a stage. ``finding`` is None if there is no verdict on this stage. ``promoted`` means that
    a person let the stage pass, ``overdue`` that the deadline is over, and ``rising`` that a difference may be above
    its tolerance. ``action`` is that of this failure, if it differs from the one that the settings have for any."""
    if config.action is EvidenceAction.REPORT:
        return Ruling.ADVANCE
    if finding is Finding.FAIL and (action or config.action) is EvidenceAction.ROLLBACK:
        return Ruling.ROLL_BACK
    waits = rising and config.on_rising is RisingAction.HOLD
    if promoted or finding is Finding.PASS or (finding is Finding.UNDECIDED and not waits):
        return Ruling.ADVANCE
    if finding is Finding.FAIL:
        return Ruling.GATE
    return _AT_DEADLINE[config.on_no_data] if overdue else Ruling.HOLD


def rule_on_stage(rollout: Rollout, seen: Observation, now: datetime) -> Ruling:
    """The ruling on the present stage. With all traffic on the new version nothing is left to compare: only a
    failure that was found before counts there. In a holdback only a failure counts, too: the version has passed."""
    config = rollout.plan.evidence
    if config is None or rollout.old is None:
        return Ruling.ADVANCE
    verdict = verdict_on_stage(rollout, seen)
    finding = None if verdict is None else verdict.finding
    stage = rollout.plan.stages[rollout.stage]
    if (stage.holdback or stage.share >= WHOLE) and finding is not Finding.FAIL:
        return Ruling.ADVANCE
    until = deadline(rollout)
    overdue = is_hopeless(rollout, seen) or (until is not None and until <= now)
    if seen.unobserved and config.on_no_data is NoDataAction.ADVANCE:
        overdue = False  # the settings say what lacking data means, and not what it means that nobody looks
    ruling = rule(
        config,
        finding,
        promoted=rollout.skips_bake,
        overdue=overdue,
        rising=verdict is not None and verdict.rising,
        action=action_on(config, verdict),
    )
    return max(ruling, _rule_on_assurance(rollout, seen, overdue), key=_SEVERITY.index)


def _rule_on_assurance(rollout: Rollout, seen: Observation, overdue: bool) -> Ruling:
    """Return the ruling of an assurance: no stage above its share begins while a harm is not ruled out, or while the
    traffic is not split as requested, or while its budgets have no room for a stage. At the deadline, and once a
    budget is spent, the settings say what follows. An assurance is not given up for lack of data: ADVANCE is not
    among that."""
    config = rollout.plan.evidence
    if config is None or config.assure is None or rollout.skips_bake:
        return Ruling.ADVANCE
    spent = is_budget_spent(rollout, seen)
    verdict = verdict_on_stage(rollout, seen)
    split = verdict is None or not verdict.mismatch
    lacks = lacks_assurance(rollout, seen) or lacks_room(rollout, seen)
    if not spent and split and not lacks:
        return Ruling.ADVANCE
    at_deadline = Ruling.ROLL_BACK if config.on_no_data is NoDataAction.ROLLBACK else Ruling.GATE
    return at_deadline if spent or overdue else Ruling.HOLD


def lacks_assurance(rollout: Rollout, seen: Observation) -> bool:
    """Return whether the next stage is for versions only of which every harm is ruled out, while one is not."""
    config, ahead = rollout.plan.evidence, rollout.plan.stages[rollout.stage + 1 : rollout.stage + 2]
    if config is None or config.assure is None or rollout.old is None or not ahead:
        return False
    if rollout.plan.stages[rollout.stage].holdback:
        return False
    verdict = verdict_on_stage(rollout, seen)
    return _needs_assurance(ahead[0], config.assure) and (verdict is None or not verdict.assured)


def _needs_assurance(stage: RolloutStage, asked: Assurance) -> bool:
    """Whether a stage is for versions only of which every harm is ruled out. So is a holdback, whatever its share:
    all traffic follows it."""
    return stage.share > asked.before or stage.holdback


def is_budget_spent(rollout: Rollout, seen: Observation) -> bool:
    """Return whether the new version has had, or has failed, as many requests as it may before every harm is ruled
    out."""
    config, verdict = rollout.plan.evidence, verdict_on_stage(rollout, seen)
    if config is None or config.assure is None or verdict is None or verdict.assured:
        return False
    below = not _needs_assurance(rollout.plan.stages[rollout.stage], config.assure)
    budgets = ((config.assure.exposure, verdict.exposed), (config.assure.failed, verdict.failed))
    return below and any(most is not None and had >= most for most, had in budgets)


HEADROOM = 1.5
"""Times the requests per second of the present stage that a chosen stage may get."""
SETTLING = 10
"""Seconds that it may take beyond its bake: until its share is in force, and until it was judged."""


def choose_stage(rollout: Rollout, seen: Observation) -> int | None:
    """Return the stage that follows; None: an assurance that chooses it allows none yet. Its choice is the largest
    one up to its share for which its budgets have room, and the last one once every harm is ruled out. A person who
    promotes goes on by one."""
    config, stages, following = rollout.plan.evidence, rollout.plan.stages, rollout.stage + 1
    if config is None or config.assure is None or not config.assure.ramp or following == len(stages):
        return following
    if rollout.skips_bake or rollout.old is None or stages[rollout.stage].holdback:
        return following
    verdict = verdict_on_stage(rollout, seen)
    if verdict is None or verdict.stage != rollout.stage:
        return None
    if verdict.assured:
        return next(n for n in range(following, len(stages)) if stages[n].holdback or n + 1 == len(stages))
    if verdict.room is None or not verdict.rate:
        return None
    below = [n for n in range(following, len(stages)) if not _needs_assurance(stages[n], config.assure)]
    if not below:
        return following
    return max((n for n in below if expect_requests(stages[n], verdict.rate) <= verdict.room), default=None)


def rule_on_repeat(rollout: Rollout, seen: Observation) -> Ruling:
    """Return the ruling on running the present stage once more, after its instances were lost or its requests were
    not counted. Where budgets choose the stages it needs as much room as any stage. HOLD: that is not known."""
    config, stage = rollout.plan.evidence, rollout.plan.stages[rollout.stage]
    if config is None or config.assure is None or not config.assure.ramp or rollout.old is None:
        return Ruling.ADVANCE
    if rollout.skips_bake or not stage.share or _needs_assurance(stage, config.assure):
        return Ruling.ADVANCE
    verdict = verdict_on_stage(rollout, seen)
    if verdict is not None and verdict.assured:
        return Ruling.ADVANCE
    if verdict is None or verdict.stage != rollout.stage or verdict.room is None or not verdict.rate:
        return Ruling.HOLD
    # It is a choice of its own, after those of all stages: together they keep the budgets' chance.
    choice, had = len(rollout.plan.stages) + rollout.losses, (verdict.exposed, verdict.failed)
    room = min(verdict.room, find_room(config.assure.count_left(*had), had, config.assure.missed, choice))
    return Ruling.ADVANCE if expect_requests(stage, verdict.rate) <= room else Ruling.ROLL_BACK


def expect_requests(stage: RolloutStage, rate: float) -> float:
    """Return the largest expected number of requests to the new version in a stage, at requests per second."""
    return stage.share / WHOLE * rate * HEADROOM * (stage.bake + SETTLING)


def lacks_room(rollout: Rollout, seen: Observation) -> bool:
    """Return whether the budgets of an assurance allow no larger share yet."""
    return choose_stage(rollout, seen) is None


def verdict_on_stage(rollout: Rollout, seen: Observation) -> Verdict | None:
    """The verdict, if it is on the present stage. A failure counts in every stage that follows."""
    verdict = None if seen.guard_check is None else seen.guard_check.verdict
    if verdict is None or (verdict.stage != rollout.stage and verdict.finding is not Finding.FAIL):
        return None
    return verdict


def has_failed(rollout: Rollout, seen: Observation) -> bool:
    """Return whether a difference above its tolerance was found, and rolls the rollout back."""
    config, verdict = rollout.plan.evidence, verdict_on_stage(rollout, seen)
    if config is None or verdict is None or verdict.finding is not Finding.FAIL:
        return False
    action = action_on(config, verdict) or config.action
    return config.action is not EvidenceAction.REPORT and action is EvidenceAction.ROLLBACK


def is_rising(rollout: Rollout, seen: Observation) -> bool:
    """Return whether there is enough data, and a difference may be above its tolerance."""
    verdict = verdict_on_stage(rollout, seen)
    return verdict is not None and verdict.rising and verdict.finding is Finding.UNDECIDED


def is_hopeless(rollout: Rollout, seen: Observation) -> bool:
    """Return whether no evidence can come, however long the stage waits."""
    verdict = verdict_on_stage(rollout, seen)
    return verdict is not None and verdict.never


def deadline(rollout: Rollout) -> datetime | None:
    """Return the time until which evidence may arrive in the present stage; None before the bake."""
    config, end = rollout.plan.evidence, rollout.bake_until
    if config is None or rollout.phase is not Phase.BAKING or end is None:
        return None
    return end + timedelta(seconds=config.deadline)


def explain(rollout: Rollout, seen: Observation) -> str:
    """Explain why the evidence holds or rolls back the present stage."""
    verdict = verdict_on_stage(rollout, seen)
    if verdict is None and seen.unobserved:
        return f"{seen.unobserved}, so that its requests are not compared with the old version's"
    if verdict is None:
        return "its requests in this stage were not compared with the old version's yet"
    return verdict.reason


def explain_hold(rollout: Rollout, seen: Observation) -> str:
    """Explain what holds the present stage, and when that is likely to be known."""
    known, until = find_known_at(rollout, seen), deadline(rollout)
    said = explain(rollout, seen)
    if known is None:
        return said
    at = f"{known:%Y-%m-%d %H:%M:%S} UTC"
    if until is not None and known > until:
        return f"{said}; it cannot be known in time: that is at about {at}, and the deadline at {until:%H:%M:%S}"
    return f"{said}; it is likely to be known at {at}"


def find_known_at(rollout: Rollout, seen: Observation) -> datetime | None:
    """Return when everything that the present stage waits for is likely to be known, at the rate so far; None: that
    cannot be said, or nothing is waited for."""
    verdict, check = verdict_on_stage(rollout, seen), seen.guard_check
    if verdict is None or check is None or is_hopeless(rollout, seen):
        return None
    spans = [one.seconds for one in verdict.waits]
    if lacks_assurance(rollout, seen):
        spans += [one.seconds_left for one in verdict.harms]
    known = [one for one in spans if one is not None]
    if not known or len(known) < len(spans) or max(known) > LONGEST:
        return None
    return check.judged_at.astimezone(UTC) + timedelta(seconds=max(known))


def explain_condition(condition: Condition, rollout: Rollout, seen: Observation | None) -> str:
    """Return the message of a condition; of one by which evidence holds the rollout, with what is known now."""
    if condition.type != HELD_BY_EVIDENCE or seen is None or verdict_on_stage(rollout, seen) is None:
        return condition.message
    return f"{condition.message}: {explain_hold(rollout, seen)}"


def explain_rollback(endpoint: str, rollout: Rollout, seen: Observation) -> Explanation:
    """Return what a person is shown of a rollback by what was compared: the rows on which the versions differ most,
    and the command that finds it again from what was counted, without the server."""
    verdict = verdict_on_stage(rollout, seen)
    show = f"tidegate rollout evidence show {endpoint}"
    if verdict is None or not verdict.results:
        return Explanation(reproduce=show if seen.replay else "")
    verify = f"{show} --json > evidence.json && tidegate rollout evidence verify evidence.json"
    return Explanation(verdict.rows, verify)


# Rules for the effect of a replay of labelled rows on a rollout: no traffic is shifted before it has passed.


def awaits_replay(rollout: Rollout) -> bool:
    """Return whether the rollout has a replay, and no traffic was shifted yet."""
    config = rollout.plan.evidence
    asked = config is not None and config.replay is not None and rollout.old is not None
    return asked and rollout.stage == 0 and rollout.phase is Phase.PROVISIONING


def rule_on_replay(rollout: Rollout, seen: Observation) -> Ruling:
    """A replay ends by itself, with NO_DATA if there is nothing better to say: so its absence holds without a
    deadline, and its NO_DATA is what the settings say about a deadline."""
    config = rollout.plan.evidence
    if config is None or not awaits_replay(rollout):
        return Ruling.ADVANCE
    finding = find_worst_replay(seen)
    return rule(config, finding, promoted=rollout.skips_bake, overdue=finding is not None)


def find_worst_replay(seen: Observation) -> Finding | None:
    """Return the worst finding of all variants; None if the replay has not ended."""
    if not seen.replay:
        return None
    found = {one.finding for one in seen.replay.values()}
    return next((kind for kind in (Finding.FAIL, Finding.NO_DATA) if kind in found), Finding.PASS)


def has_failed_replay(rollout: Rollout, seen: Observation) -> bool:
    return awaits_replay(rollout) and find_worst_replay(seen) is Finding.FAIL


def explain_replay(seen: Observation) -> str:
    """Explain why the replay holds or rolls back the rollout."""
    if seen.replay is None and seen.unobserved:
        return f"{seen.unobserved}, so that no version answers labelled rows"
    if seen.replay is None:
        return "both versions answer labelled rows"
    worst = find_worst_replay(seen)
    return "; ".join(
        f"variant {name}: {one.reason}" for name, one in sorted(seen.replay.items()) if one.finding is worst
    )
