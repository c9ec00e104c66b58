"""Rules of composite alarms: CloudWatch's AlarmRule over the states of other alarms. Pure.

``ALARM(name)``, ``OK(name)``, ``INSUFFICIENT_DATA(name)``, ``TRUE``, ``FALSE``, ``NOT``, ``AND``, ``OR`` and
parentheses; a name may be quoted, or be an ARN. What is not known of one alarm leaves a rule undecided only where it
matters."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter

from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.errors import Invalid

DEEPEST = 40
"""Parentheses and NOTs within each other."""
MOST_ALARMS = 100
"""That one rule names, as in CloudWatch."""
MOST_ELEMENTS = 500
_TOKEN = re.compile(
    r"\s*(?:(?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*"
    r"(?:\"(?P<quoted>[^\"]+)\"|'(?P<single>[^']+)'|(?P<plain>[^()\"']+?))\s*\)"
    r"|(?P<word>AND|OR|NOT|TRUE|FALSE)\b|(?P<sign>[()])|(?P<other>\S+))"
)
MOST_CHARACTERS = 1023
"""Of a StateReason."""
_ARN = re.compile(r"arn:[^:]+:cloudwatch:[^:]*:[^:]*:alarm:(.+)", re.DOTALL)


@dataclass(frozen=True)
class _StateTest:
    """``name`` is in this state."""

    name: str
    state: AlarmState


@dataclass(frozen=True)
class _Constant:
    value: bool


@dataclass(frozen=True)
class _Negation:
    of: "Rule"


@dataclass(frozen=True)
class _Junction:
    """All of them hold, or any of them."""

    every: bool
    parts: "tuple[Rule, ...]"


Rule = _StateTest | _Constant | _Negation | _Junction


@lru_cache(maxsize=1024)
def parse(text: str) -> Rule:
    """Raises Invalid with what is wrong."""
    parser = _Parser(text)
    rule = parser.either()
    if parser.at < len(parser.tokens):
        parser.fail(f"{parser.tokens[parser.at][0].strip()!r} is not expected there")
    if len(found := named_alarms(text, rule)) > MOST_ALARMS:
        parser.fail(f"it names {len(found)} alarms; at most {MOST_ALARMS} are allowed")
    return rule


class _Parser:
    """Recursive descent over ``tokens``."""

    def __init__(self, text: str) -> None:
        self.text, self.depth, self.at = text, 0, 0
        self.tokens = list(_TOKEN.finditer(text))
        if len(self.tokens) > MOST_ELEMENTS:
            self.fail(f"it has {len(self.tokens)} elements; at most {MOST_ELEMENTS} are allowed")

    def fail(self, why: str) -> None:
        shown = self.text if len(self.text) <= 200 else self.text[:200] + "..."
        raise Invalid(f"AlarmRule {shown!r}: {why}")

    def either(self) -> Rule:
        parts = [self._both()]
        while self._takes("OR"):
            parts.append(self._both())
        return _Junction(False, tuple(parts)) if parts[1:] else parts[0]

    def _both(self) -> Rule:
        parts = [self._single()]
        while self._takes("AND"):
            parts.append(self._single())
        return _Junction(True, tuple(parts)) if parts[1:] else parts[0]

    def _single(self) -> Rule:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"more than {DEEPEST} parentheses or NOTs within each other")
        rule = _Negation(self._single()) if self._takes("NOT") else self._atom()
        self.depth -= 1
        return rule

    def _takes(self, word: str) -> bool:
        if self.at < len(self.tokens) and word in (self.tokens[self.at]["word"], self.tokens[self.at]["sign"]):
            self.at += 1
            return True
        return False

    def _atom(self) -> Rule:
        if self._takes("TRUE"):
            return _Constant(True)
        if self._takes("FALSE"):
            return _Constant(False)
        if self._takes("("):
            rule = self.either()
            if not self._takes(")"):
                self.fail("')' is missing")
            return rule
        if self.at >= len(self.tokens):
            self.fail("it ends too early")
        token = self.tokens[self.at]
        if token["state"] is None:
            known = "ALARM(name), OK(name), INSUFFICIENT_DATA(name), TRUE, FALSE, NOT, AND, OR and parentheses"
            self.fail(f"{token[0].strip()!r} is not expected there: use {known}")
        self.at += 1
        name = token["quoted"] or token["single"] or token["plain"]
        arn = _ARN.fullmatch(name)
        return _StateTest(name if arn is None else arn[1], AlarmState(token["state"]))


def named_alarms(text: str, rule: Rule | None = None) -> tuple[str, ...]:
    """Names of the alarms in a rule, each once."""
    waiting, found = [parse(text) if rule is None else rule], dict[str, None]()
    while waiting:
        match waiting.pop(0):
            case _StateTest(name):
                found[name] = None
            case _Negation(of):
                waiting.append(of)
            case _Junction(_, parts):
                waiting += parts
    return tuple(found)


def holds(rule: Rule, states: Mapping[str, AlarmState], *, strict: bool = False) -> bool | None:
    """Whether the rule holds; None while that depends on an alarm without a state. ``strict``: an alarm without data
    leaves it open, too, unless the rule asks for that: CloudWatch takes such an alarm for one that is not in ALARM,
    and a rollout must not go on because of data that it does not have."""
    match rule:
        case _StateTest(name, wanted):
            state = states.get(name)
            lacks = state is AlarmState.INSUFFICIENT_DATA and wanted is not AlarmState.INSUFFICIENT_DATA
            return None if state is None or (strict and lacks) else state is wanted
        case _Constant(value):
            return value
        case _Negation(of):
            found = holds(of, states, strict=strict)
            return None if found is None else not found
        case _Junction(every, parts):
            values = [holds(part, states, strict=strict) for part in parts]
            if (not every) in values:
                return not every
            return None if None in values else every


def order(alarms: Iterable[Alarm]) -> list[Alarm]:
    """The composite alarms among these, each after those that its rule names; without those that depend on
    themselves, which are never judged."""
    composites = {one.name: one for one in alarms if one.rule}
    uses = {name: set(named_alarms(one.rule)) & composites.keys() for name, one in composites.items()}
    while uses:
        try:
            return [composites[name] for name in TopologicalSorter(uses).static_order()]
        except CycleError as error:
            for name in error.args[1]:
                uses.pop(name, None)
            uses = {name: those & uses.keys() for name, those in uses.items()}
    return []


def judge(alarm: Alarm, others: Mapping[str, Alarm], now: datetime) -> Alarm:
    """A composite alarm after a look at the alarms that its rule names; the same object where its state stays. One
    that depends on an alarm that does not exist has no state."""
    named = named_alarms(alarm.rule)
    held = holds(parse(alarm.rule), {name: others[name].state for name in named if name in others})
    state = AlarmState.INSUFFICIENT_DATA if held is None else AlarmState.ALARM if held else AlarmState.OK
    if state is alarm.state:
        return alarm
    known = [others[name] for name in named if name in others]
    reason, data = _explain(alarm, state, known, sorted(set(named) - others.keys()))
    return replace(
        alarm,
        state=state,
        state_reason=reason[:MOST_CHARACTERS],
        state_reason_data=data,
        state_updated_at=now,
        state_changed_at=now,
    )


def judge_all(alarms: Mapping[str, Alarm], now: datetime) -> list[Alarm]:
    """The composite alarms among these whose states change."""
    present, changed = dict(alarms), list[Alarm]()
    for one in order(alarms.values()):
        present[one.name] = judge(one, present, now)
        if present[one.name] is not one:
            changed.append(present[one.name])
    return changed


def undecided_by(alarms: Sequence[Alarm], states: Mapping[str, AlarmState], names: Iterable[str]) -> list[str]:
    """Alarms without data that leave one of the composite alarms ``names`` open."""
    known = {
        name: state for name, state in states.items() if all(name != one.name or not one.rule for one in alarms)
    }
    composites, lacking = {one.name: one for one in order(alarms)}, dict[str, None]()
    for one in composites.values():
        held = holds(parse(one.rule), known, strict=True)
        if held is not None:
            known[one.name] = AlarmState.ALARM if held else AlarmState.OK
    waiting = [name for name in names if name in composites and name not in known]
    for name in waiting:
        for other in named_alarms(composites[name].rule):
            if other in composites:
                if other not in known and other not in waiting:
                    waiting.append(other)
            elif states.get(other) is not AlarmState.OK and states.get(other) is not AlarmState.ALARM:
                lacking[other] = None
    return list(lacking)


def _explain(
    alarm: Alarm, state: AlarmState, known: Sequence[Alarm], missing: Sequence[str]
) -> tuple[str, str | None]:
    """The reason in CloudWatch's words, and as data: the alarm of the rule that changed last."""
    if state is AlarmState.INSUFFICIENT_DATA:
        return f"Insufficient Data: there is no alarm {', '.join(missing)}, which the rule names.", None
    last = max(known, key=lambda one: one.state_changed_at or one.configured_at, default=None)
    if last is None:
        return f"The rule {alarm.rule} is always {'TRUE' if state is AlarmState.ALARM else 'FALSE'}.", None
    at = (last.state_changed_at or last.configured_at).astimezone(UTC)
    told = {"value": last.state.value, "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"}
    data = json.dumps({"triggeringAlarms": [{"name": last.name, "state": told}]})
    return f"{last.name} transitioned to {last.state.value} at {at:%A %d %B, %Y %H:%M:%S} UTC", data
