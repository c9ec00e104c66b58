"""Rules for the effect of a replay of labelled rows on a rollout: no traffic is shifted before it has passed.
Pure."""

from tidegate.domain.endpoint import Rollout
from tidegate.domain.finding import Finding
from tidegate.domain.observation import Observation
from tidegate.domain.rollout import Phase
from tidegate.rollout.evidence_rule import Ruling, rule


def is_awaited(rollout: Rollout) -> bool:
    """Return whether the rollout has a replay, and no traffic was shifted yet."""
    config = rollout.plan.evidence
    asked = config is not None and config.replay is not None and rollout.old is not None
    return asked and rollout.stage == 0 and rollout.phase is Phase.PROVISIONING


def rule_on_replay(rollout: Rollout, seen: Observation) -> Ruling:
    """A replay ends by itself, with NO_DATA if there is nothing better to say: so its absence holds without a
    deadline, and its NO_DATA is what the settings say about a deadline."""
    config = rollout.plan.evidence
    if config is None or not is_awaited(rollout):
        return Ruling.ADVANCE
    finding = find_worst(seen)
    return rule(config, finding, promoted=rollout.skips_bake, overdue=finding is not None)


def find_worst(seen: Observation) -> Finding | None:
    """Return the worst finding of all variants; None if the replay has not ended."""
    if not seen.replay:
        return None
    found = {one.finding for one in seen.replay.values()}
    return next((kind for kind in (Finding.FAIL, Finding.NO_DATA) if kind in found), Finding.PASS)


def has_failed(rollout: Rollout, seen: Observation) -> bool:
    return is_awaited(rollout) and find_worst(seen) is Finding.FAIL


def explain(seen: Observation) -> str:
    """Explain why the replay holds or rolls back the rollout."""
    if seen.replay is None and seen.unobserved:
        return f"{seen.unobserved}, so that no version answers labelled rows"
    if seen.replay is None:
        return "both versions answer labelled rows"
    worst = find_worst(seen)
    return "; ".join(
        f"variant {name}: {one.reason}" for name, one in sorted(seen.replay.items()) if one.finding is worst
    )
