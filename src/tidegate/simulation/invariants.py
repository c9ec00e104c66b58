"""Invariants of every world, checked at every decision and after every event. The numbers are those of
docs/dev/rollout-machine.md. A violation raises ``InvariantBroken`` with its number and details.

They are arithmetic over what was observed and decided, without the state machine's own predicates.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.evidence import (
    EvidenceAction,
    EvidenceConfig,
    Finding,
    NoDataAction,
    RisingAction,
    Verdict,
    action_on,
)
from tidegate.domain.fleet import FleetId
from tidegate.domain.observation import DeleteFleet, EnsureFleet, Observation, SetTraffic
from tidegate.domain.rollout import Cause, Phase, Version
from tidegate.domain.traffic import WHOLE, RouteTable
from tidegate.rollout import commands
from tidegate.rollout.step import RolloutDecision
from tidegate.simulation.world import StepFunction, World

LONG = timedelta(days=400)
STALE = timedelta(seconds=5)
"""Age from which on evidence says nothing about now."""
MOST_LOSSES = 2
"""Total losses of a version's instances that its rollout outlives."""
MOST_TRAFFIC, SETTLING = 1.5, 10
"""Times the traffic of the stage before, and seconds beyond its bake, for which a chosen stage has room."""
SLACK = 1
"""Basis points by which a whole number of instances may deviate from the share that it carries."""

ORDER = (Phase.PROVISIONING, Phase.ACTIVATING_TRAFFIC, Phase.BAKING, Phase.TERMINATING)
FORWARD = ORDER[:3]


class InvariantBroken(AssertionError):
    """An invariant does not hold."""


def expect(holds: object, which: str, found: object = "") -> None:
    if not holds:
        raise InvariantBroken(f"{which}: {found}")


@dataclass
class Invariants:
    """A watcher for ``World``; it remembers when each bake began, the time spent paused, and versions that were
    rolled back."""

    baking_since: dict[tuple[str, int], datetime] = field(default_factory=dict)
    pause_began: datetime | None = None
    paused: timedelta = timedelta()
    taken_back: set[int] = field(default_factory=set)
    withdrawals: dict[str, int] = field(default_factory=dict)
    """By rollout: how often its new version lost its traffic without a rollback."""
    _shares: dict[str, int] = field(default_factory=dict)
    checked: int = 0

    def decided(
        self, before: Endpoint, seen: Observation, now: datetime, decision: RolloutDecision, step: StepFunction
    ) -> None:
        self.checked += 1
        after = decision.endpoint
        if after is None:
            expect(before.deleting and seen.fleets == {}, "only a deleted endpoint goes, with all it had", before)
            return
        _check_purity(after, seen, now, decision, step)
        _check_table(after)
        _check_rising_shares(before, after, seen)
        _check_capacity(after)
        _check_step_without_scaling(before, after)
        _check_actions(after, seen, decision)
        _check_alarms(before, after, seen)
        _check_difference(before, after, seen)
        _check_losses(before, after, seen, now)
        _check_holdback(before, after, seen, now)
        _check_shadow_independence(before, seen, now, decision, step)
        if before.rollout is not None:
            self._count_pauses(before.rollout)
            if before.rollout.phase in FORWARD:
                self._forward(before, before.rollout, after, seen, now)
        if after.rollout is not None and after.rollout.phase in FORWARD:
            aborted = commands.abort(after, "invariant 5", now)
            back = aborted.failed or (aborted.rollout and aborted.rollout.phase is Phase.ROLLING_BACK)
            expect(back, "5 abort leads back from everywhere", after.rollout.phase)

    def changed(self, world: World) -> None:
        """Facts about the world itself, whatever the controller believes."""
        routes = world.target.routes(world.name).routes
        expect(sum(r.share for r in routes) in (0, WHOLE), "1 shares in force sum to the whole", routes)
        for route in routes:
            fleet = world.target.fleets.get(route.fleet)
            expect(fleet is not None and not fleet.deleted, "no route to a fleet that is not there", route.fleet)
            expect(route.fleet.generation not in self.taken_back, "8 no route is left behind", route.fleet)
            expect(fleet and not fleet.spec.variant.shadow, "13 a shadow takes no client's request", route.fleet)
        record = world.record
        if record is not None and record.last is not None and record.last.phase is Phase.ROLLED_BACK:
            self.taken_back.add(record.last.new.generation)
        if record is not None and record.rollout is not None and record.rollout.phase in FORWARD:
            self._count_withdrawals(record, record.rollout)

    def _count_withdrawals(self, record: Endpoint, rollout: Rollout) -> None:
        share = (record.traffic or RouteTable(record.name, 0)).share_of(rollout.new.generation)
        if share == 0 and self._shares.get(rollout.id):
            self.withdrawals[rollout.id] = self.withdrawals.get(rollout.id, 0) + 1
            expect(self.withdrawals[rollout.id] <= MOST_LOSSES, "15 losses are bounded", self.withdrawals)
        self._shares[rollout.id] = share

    def _forward(self, before: Endpoint, was: Rollout, after: Endpoint, seen: Observation, now: datetime) -> None:
        """A step forward requires full observation, capacity, our own table in force, the whole bake and evidence."""
        if was.phase is not Phase.BAKING:
            self.paused = timedelta()
        is_ = after.rollout if after.rollout and after.rollout.id == was.id else None
        done = after.rollout is None and after.last is not None and after.last.phase is Phase.SUCCEEDED
        if is_ is not None and is_.phase is Phase.BAKING and (was.phase, was.stage) != (is_.phase, is_.stage):
            self.baking_since[is_.id, is_.stage] = now
        if is_ is not None and is_.phase in FORWARD:
            expect(is_.pause == was.pause, "what a person pauses stays", was.phase)
        if not (done or (is_ is not None and _rollout_position(is_) > _rollout_position(was))):
            return
        expect(not was.pause, "what a person pauses stays", was.phase)
        blind = seen.fleets is None or seen.routes is None or (was.plan.alarms and seen.alarms is None)
        expect(not blind, "unknown never advances", was.phase)
        if was.old is not None:
            old = seen.guard_check is None or abs(now - seen.guard_check.judged_at) > STALE
            expect(not old, "what was judged before a gap never advances", (was.phase, seen.guard_check, now))
        stage = was.plan.stages[was.stage]
        untried = (before.traffic or RouteTable(before.name, 0)).share_of(
            was.new.generation
        ) == 0 and not was.losses
        short = list(_missing_replicas(after.name, was.new, stage.new_part, seen, shadow=untried))
        if was.phase in (Phase.PROVISIONING, Phase.BAKING):
            expect(not short, "2, 4 every replica of a stage is there as wanted", short)
        if was.phase is not Phase.PROVISIONING:
            expect(_is_own_table(before, seen), "a stage is left by our own latest write in force", seen.routes)
        left = done or (is_ is not None and (is_.stage > was.stage or is_.phase is Phase.TERMINATING))
        if left and not was.skips_bake:
            began = self.baking_since.get((was.id, was.stage)) if was.phase is Phase.BAKING else now
            expect(
                began is not None and now - began - self.paused >= timedelta(seconds=stage.bake),
                "a stage is left after its bake",
                (stage, began, now),
            )
        if left and was.phase is Phase.BAKING and was.old is not None:
            _check_bake_coverage(was, seen)
        if left and was.plan.require_evidence and was.plan.stages[was.stage].share:
            states = {name: (seen.alarms or {}).get(name) for name in was.plan.alarms}
            expect(set(states.values()) <= {AlarmState.OK}, "7 missing evidence never passes", states)
        if left and was.plan.evidence is not None and was.old is not None:
            _check_comparison(was, is_, was.plan.evidence, seen, now)

    def _count_pauses(self, rollout: Rollout) -> None:
        if rollout.pause is not None:
            self.pause_began = rollout.pause.since
        elif self.pause_began is not None:
            resumed = next(c.since for c in rollout.conditions if c.type == commands.PAUSED)
            self.paused += resumed - self.pause_began
            self.pause_began = None


def _check_bake_coverage(was: Rollout, seen: Observation) -> None:
    """14: evaluations cover requests from the start of the bake to its end; for a bake that a user skipped, some
    after its start."""
    evidence, since, until = seen.guard_check, was.phase_since, was.bake_until
    assert evidence is not None and since is not None and until is not None
    if was.skips_bake:
        expect(evidence.through >= since, "14 a verdict reaches into the bake", (since, evidence))
        return
    expect(evidence.through >= until, "14 a verdict reaches to the end of the bake", (until, evidence))
    if was.plan.alarms and was.plan.stages[was.stage].bake:
        whole = evidence.since <= since + timedelta(seconds=1)
        expect(whole, "14 a verdict rests on all of the bake", (since, evidence))


def _check_comparison(
    was: Rollout, is_: Rollout | None, config: EvidenceConfig, seen: Observation, now: datetime
) -> None:
    """7: a stage is left on a pass of its own comparison, by a person, or past a deadline that allows it."""
    verdict = seen.guard_check.verdict if seen.guard_check else None
    failed = verdict is not None and verdict.finding is Finding.FAIL
    _check_assurance(was, is_, config, verdict)
    if config.action is EvidenceAction.REPORT:
        return
    expect(
        not failed or (action_on(config, verdict) is EvidenceAction.GATE and was.skips_bake),
        "7 a difference never passes",
        verdict,
    )
    stage = was.plan.stages[was.stage]
    if was.skips_bake or stage.holdback or stage.share >= WHOLE:
        return
    passed = verdict is not None and verdict.stage == was.stage and _lets_pass(config, verdict)
    late = was.bake_until is not None and now >= was.bake_until + timedelta(seconds=config.deadline)
    allowed = late and config.on_no_data is NoDataAction.ADVANCE
    expect(passed or allowed, "7 a stage without its evidence never passes", verdict)


def _check_assurance(was: Rollout, is_: Rollout | None, config: EvidenceConfig, verdict: Verdict | None) -> None:
    """7: no stage begins whose share a version may have only once every harm is ruled out, but by a person. One that
    is chosen by budgets has room in them."""
    stage = was.plan.stages[was.stage]
    ahead = stage if is_ is None else was.plan.stages[is_.stage]
    if config.assure is None or was.skips_bake or stage.holdback or stage.share >= WHOLE:
        return
    of_stage = verdict if verdict is not None and verdict.stage == was.stage else None
    split = of_stage is None or not of_stage.mismatch
    expect(split, "7 traffic that is not split as requested proves nothing", verdict)
    assured = of_stage is not None and of_stage.assured
    if ahead.share > config.assure.before or ahead.holdback:
        expect(assured, "7 no larger share before every harm is ruled out", verdict)
    if config.assure.ramp and not assured:
        room = None if of_stage is None else of_stage.room
        wanted = (
            0.0
            if of_stage is None
            else ahead.share / WHOLE * of_stage.rate * MOST_TRAFFIC * (ahead.bake + SETTLING)
        )
        expect(room is not None and wanted <= room, "7 a stage that is chosen has room", (ahead, verdict))


def _lets_pass(config: EvidenceConfig, verdict: Verdict) -> bool:
    """Return whether a verdict lets its stage end: it is proved not worse, or not known and nothing is rising."""
    held = verdict.rising and config.on_rising is RisingAction.HOLD
    return verdict.finding is Finding.PASS or (verdict.finding is Finding.UNDECIDED and not held)


def _check_difference(before: Endpoint, after: Endpoint, seen: Observation) -> None:
    """A difference that is found turns the rollout back at once, whatever else is seen."""
    was, verdict = before.rollout, seen.guard_check.verdict if seen.guard_check else None
    if was is None or was.old is None or was.phase not in FORWARD or before.deleting:
        return
    config = was.plan.evidence
    if config is None or action_on(config, verdict) is not EvidenceAction.ROLLBACK:
        return
    if verdict is not None and verdict.finding is Finding.FAIL:
        phase = after.rollout.phase if after.rollout else None
        expect(phase not in FORWARD, "a difference turns the rollout back", phase)


def _rollout_position(rollout: Rollout) -> tuple[int, int]:
    return (rollout.stage, ORDER.index(rollout.phase)) if rollout.phase in ORDER else (-1, -1)


def _check_purity(
    after: Endpoint, seen: Observation, now: datetime, decision: RolloutDecision, step: StepFunction
) -> None:
    """``step`` is idempotent and ``wake_at`` is correct."""
    again = step(after, seen, now)
    expect(again.endpoint == after and not again.events, "step is a fixpoint", again.events)
    expect(again.actions == decision.actions, "what is wanted comes from the record", again.actions)
    wake = decision.wake_at
    expect(wake is None or wake > now, "wake_at lies ahead", wake)
    for probe in (now + LONG,) if wake is None else (now + (wake - now) / 2, wake - timedelta(microseconds=1)):
        expect(step(after, seen, probe).endpoint == after, "wake_at is honest", (probe, wake))


def _check_table(after: Endpoint) -> None:
    """1: shares sum to the whole over live versions; 10: a route leads to complete versions."""
    table = after.traffic
    if table is None or not table.routes:
        return
    expect(not after.deleting and not after.failed, "1 an endpoint that ended takes no requests", table)
    expect(sum(r.share for r in table.routes) == WHOLE, "1 shares sum to the whole", table.routes)
    expect(table.fence <= after.fence, "a table's fence was given out", table.fence)
    live = {v.generation: {x.name for x in v.variants if not x.shadow} for v in _live_versions(after)}
    for route in table.routes:
        expect(route.fleet.variant in live.get(route.fleet.generation, ()), "1 only live versions", route)
    for generation in {r.fleet.generation for r in table.routes}:
        named = {
            name for name, ways in table.targets.items() if any(w.fleet.generation == generation for w in ways)
        }
        expect(named == live[generation], "10 a version is routed whole", (generation, named))
    for name, ways in table.targets.items():
        expect(sum(w.share for w in ways) == WHOLE, "1 shares by name sum to the whole", name)


def _live_versions(endpoint: Endpoint) -> Iterator[Version]:
    if endpoint.serving:
        yield endpoint.serving
    if endpoint.rollout:
        yield endpoint.rollout.new
    if endpoint.mixed:
        yield endpoint.mixed.version


def _instances_needed(count: int, share: int) -> float:
    """Return the number of instances of a version's ``count`` that carry this share."""
    return count * max(0, share - SLACK) / WHOLE


def _missing_replicas(
    endpoint: str, version: Version, part: int, seen: Observation, *, shadow: bool
) -> Iterator[str]:
    counts = version.counts(part)
    for variant in version.variants:
        count = counts[variant.name]
        fleet = (seen.fleets or {}).get(FleetId(endpoint, version.generation, variant.name))
        lacking = fleet is None or fleet.desired != count or fleet.ready < count
        if lacking and (shadow or not variant.shadow):
            yield variant.name


def _check_shadow_independence(
    before: Endpoint, seen: Observation, now: datetime, decision: RolloutDecision, step: StepFunction
) -> None:
    """13: once a version has traffic, a dead or failing shadow changes no decision."""
    shadows = {
        FleetId(before.name, v.generation, x.name) for v in _live_versions(before) for x in v.variants if x.shadow
    }
    rollout, table = before.rollout, before.traffic or RouteTable(before.name, 0)
    untried = (
        rollout is not None
        and rollout.phase in FORWARD
        and not (table.share_of(rollout.new.generation) or rollout.losses)
    )
    if seen.fleets is None or not shadows or untried:
        return
    fleets = {id: replace(f, ready=0, failure="x") if id in shadows else f for id, f in seen.fleets.items()}
    dead = step(before, replace(seen, fleets=fleets), now)
    expect(dead.endpoint == decision.endpoint, "13 a shadow changes no decision", decision.events)


def _is_own_table(endpoint: Endpoint, seen: Observation) -> bool:
    table = endpoint.traffic or RouteTable(endpoint.name, 0)
    found = seen.routes
    return found is not None and (
        (found.fence == table.fence and set(found.routes) == set(table.routes))
        or not (found.routes or table.routes)
    )


def _check_rising_shares(before: Endpoint, after: Endpoint, seen: Observation) -> None:
    """2: the ready replicas of a version can serve its additional share. During rollback the first move goes to
    whatever the old side still has, as long as something of each variant answers."""
    was, wants = before.traffic or RouteTable(before.name, 0), after.traffic or RouteTable(after.name, 0)
    for version in _live_versions(after):
        share = wants.share_of(version.generation)
        if share <= was.share_of(version.generation):
            continue
        rollout = after.rollout
        emergency = rollout is not None and (
            (rollout.phase is Phase.ROLLING_BACK and rollout.back_stage == 0) or _is_withdrawn(after, rollout)
        )
        for variant in version.production:
            fleet = (seen.fleets or {}).get(FleetId(after.name, version.generation, variant.name))
            ready = fleet.ready if fleet else 0
            needed = _instances_needed(variant.instance_count, share)
            if emergency:
                needed = min(1.0, needed) if variant.weight else 0.0
            expect(ready >= needed, "2 weight over ready capacity", (version.config_name, share, ready))


def _check_capacity(after: Endpoint) -> None:
    """3: the wanted instances of either side carry its wanted share."""
    rollout = after.rollout
    if rollout is None or rollout.old is None or after.mixed or after.traffic is None:
        return
    new_part = old_part = 0
    if rollout.phase is Phase.TERMINATING:
        new_part = WHOLE
    elif rollout.phase is Phase.ROLLING_BACK and rollout.back_stage == len(rollout.back):
        old_part = WHOLE
    else:
        back = rollout.phase is Phase.ROLLING_BACK
        stage = rollout.back[rollout.back_stage] if back else rollout.plan.stages[rollout.stage]
        new_part, old_part = stage.new_part, stage.old_part
    if _is_withdrawn(after, rollout):
        return  # what is left of the old version takes it all: nothing else could answer
    for version, part in ((rollout.new, new_part), (rollout.old, old_part)):
        share = after.traffic.share_of(version.generation)
        counts = version.counts(part)
        for variant in version.variants:
            enough = counts[variant.name] >= _instances_needed(variant.instance_count, share)
            expect(enough, "3 capacity covers the share", (version.config_name, rollout.phase, counts, share))


def _is_withdrawn(endpoint: Endpoint, rollout: Rollout) -> bool:
    """Return whether the new version lost every instance and got its traffic taken away."""
    share = (endpoint.traffic or RouteTable(endpoint.name, 0)).share_of(rollout.new.generation)
    return bool(rollout.losses) and share == 0


def _check_losses(before: Endpoint, after: Endpoint, seen: Observation, now: datetime) -> None:
    """15: traffic leaves a version without a ready instance at once; it gets time to come back, a bounded number of
    times."""
    was, is_ = before.rollout, after.rollout
    if was is None or was.old is None or was.phase not in FORWARD or before.deleting or seen.fleets is None:
        return

    def dead(version: Version) -> list[str]:
        fleets = {
            v.name: (seen.fleets or {}).get(FleetId(before.name, version.generation, v.name))
            for v in version.production
        }
        return [
            v.name
            for v in version.production
            if v.weight and v.instance_count and not getattr(fleets[v.name], "ready", 0)
        ]

    had = (before.traffic or RouteTable(before.name, 0)).share_of(was.new.generation)
    lost = had and dead(was.new) and not dead(was.old)
    if lost:
        share = (after.traffic or RouteTable(after.name, 0)).share_of(was.new.generation)
        back = is_ is not None and is_.phase is Phase.ROLLING_BACK
        expect(share == 0 or (was.plan.rolling and back), "15 traffic leaves what is lost", (was.phase, share))
    if is_ is None or is_.id != was.id:
        return
    if is_.cause == Cause.CAPACITY and not was.cause:
        failing = any(fleet.failure for id, fleet in seen.fleets.items() if id.generation == was.new.generation)
        late = was.phase_deadline is not None and was.phase_deadline <= now
        expect(failing or late or was.losses >= MOST_LOSSES, "15 a loss gets time to be regained", is_.reason)


def _check_holdback(before: Endpoint, after: Endpoint, seen: Observation, now: datetime) -> None:
    """16: in a holdback the old version is whole, so that one move leads back, and no lack of evidence prolongs
    it."""
    is_, was = after.rollout, before.rollout
    for one in (was, is_):
        if one is not None and one.phase in FORWARD and one.plan.stages[one.stage].holdback:
            expect(one.plan.stages[one.stage].old_part == WHOLE, "16 what is held back is whole", one.plan.stages)
    if was is None or not was.holds_back or was.pause or was.old is None or is_ is None:
        return
    check = seen.guard_check
    stayed = (is_.phase, is_.stage) == (was.phase, was.stage)
    if not stayed or check is None or was.bake_until is None or is_.bake_until is None:
        return
    judged = check.through >= is_.bake_until and abs(now - check.judged_at) <= STALE
    counted = was.phase_since is not None and check.since <= was.phase_since + timedelta(seconds=1)
    found = check.verdict is not None and check.verdict.finding is Finding.FAIL
    quiet = (
        not found
        and all((seen.alarms or {}).get(name) is AlarmState.OK for name in was.plan.alarms)
        and not seen.from_before
    )
    there = seen.fleets is not None and not any(
        one.missing or one.answered == 0 or one.failure for one in seen.fleets.values()
    )
    whole = there and not list(_missing_replicas(after.name, was.new, WHOLE, seen, shadow=False))
    over = now >= is_.bake_until and _is_own_table(after, seen)
    expect(not (judged and counted and quiet and whole and over), "16 a holdback ends in time", (is_, seen))


def _check_step_without_scaling(before: Endpoint, after: Endpoint) -> None:
    """4: a transition that advances a rollout changes no size."""
    was, is_ = before.rollout, after.rollout
    if was is None or is_ is None or was.id != is_.id or _rollout_position(is_) <= _rollout_position(was):
        return
    expect((was.old, was.new) == (is_.old, is_.new), "4 no step with a scaling change", (was.phase, is_.phase))


def _check_actions(after: Endpoint, seen: Observation, decision: RolloutDecision) -> None:
    """Check that no fleet that serves is deleted or shrunk below its share, and that no fleet is changed without an
    observation."""
    shares = {r.fleet: r.share for r in seen.routes.routes} if seen.routes else {}
    sizes = {(v.generation, x.name): x.instance_count for v in _live_versions(after) for x in v.variants}
    for action in decision.actions:
        match action:
            case SetTraffic(table):
                expect(
                    table == (after.traffic or RouteTable(after.name, 0)), "the table asked is on record", table
                )
            case DeleteFleet(id):
                expect(seen.fleets is not None and _is_own_table(after, seen), "unknown never deletes", id)
                expect(id not in shares, "no fleet that serves is deleted", id)
            case EnsureFleet(spec):
                expect(seen.fleets is not None, "nothing is asked of fleets that are not seen", spec.id)
                found = (seen.fleets or {}).get(spec.id)
                if found is not None and found.desired > spec.count:
                    expect(_is_own_table(after, seen), "nothing shrinks under another table", spec.id)
                    side = sum(s for id, s in shares.items() if id.generation == spec.id.generation)
                    full = sizes[spec.id.generation, spec.id.variant]
                    expect(
                        spec.count >= _instances_needed(full, side),
                        "3 nothing shrinks under its share",
                        (spec.id, side),
                    )


def _check_alarms(before: Endpoint, after: Endpoint, seen: Observation) -> None:
    """6: an observed alarm rolls back every state before the point of no return, pauses included."""
    was = before.rollout
    if was is None or was.phase not in FORWARD or was.old is None or seen.alarms is None:
        return
    firing = {name for name in was.plan.alarms if seen.alarms.get(name) is AlarmState.ALARM}
    if not firing - set(seen.from_before):
        return
    is_ = after.rollout
    back = is_ is None or is_.id != was.id or is_.phase is Phase.ROLLING_BACK
    expect(
        back and not (after.last and after.last.phase is Phase.SUCCEEDED and after.last.id == was.id),
        "6 alarms count in every state",
        was.phase,
    )
    old_alive = seen.fleets is not None and all(
        (fleet := seen.fleets.get(FleetId(after.name, was.old.generation, v.name))) is not None and fleet.ready
        for v in was.old.variants
        if v.weight and not v.shadow
    )
    if old_alive and not was.plan.rolling and after.traffic is not None:
        share = after.traffic.share_of(was.new.generation)
        expect(share == 0, "while an alarm is on no share is asked for the new side", share)
