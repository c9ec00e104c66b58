"""The versions of an endpoint, and what differs between two of them. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.domain.history import History, HistoryEntry, VersionOutcome
from tidegate.spec.changes import Change, flatten
from tidegate.spec.render import render

OUTCOMES: Mapping[VersionOutcome, tuple[str, str]] = {
    VersionOutcome.ROLLING_OUT: ("rolling out", ""),
    VersionOutcome.SERVING: ("serving", "good"),
    VersionOutcome.REPLACED: ("replaced", ""),
    VersionOutcome.UNDONE: ("undone", "warn"),
    VersionOutcome.ROLLED_BACK: ("rolled back", "warn"),
    VersionOutcome.ROLLBACK_FAILED: ("rollback failed", "bad"),
    VersionOutcome.FAILED: ("failed", "bad"),
}
UNSEEN = ("wire", "created_at")
"""Members that change nothing about what runs."""
SECRETS = "environment"


def history_rows(history: History) -> list[dict[str, Any]]:
    """Newest first."""
    return [
        {
            "number": entry.number,
            "config": entry.version.config_name,
            "outcome": OUTCOMES[entry.outcome][0],
            "tone": OUTCOMES[entry.outcome][1],
            "by": entry.asked_by,
            "began": entry.began_at.isoformat(),
            "ended": entry.ended_at.isoformat() if entry.ended_at else None,
            "reason": entry.reason,
            "failures": list(entry.failures),
            "explanation": entry.explanation.lines,
        }
        for entry in history.entries[::-1]
    ]


def choose_versions(history: History, before: str | None, after: str | None) -> tuple[HistoryEntry, HistoryEntry]:
    """The two versions that are asked for by their numbers; without a number the newest one and the one before it.
    Raises Invalid."""
    known = {str(entry.number): entry for entry in history.entries}
    for number in (before, after):
        if number is not None and number not in known:
            raise Invalid(f"there is no version {number[:20]}: there are {', '.join(known)}")
    newest = history.entries[-1] if after is None else known[after]
    earlier = [entry for entry in history.entries if entry.number < newest.number]
    return (known[before] if before is not None else (earlier or [newest])[-1]), newest


def compare_versions(before: HistoryEntry, after: HistoryEntry) -> list[Change]:
    """Key by key. Values of environment variables are not shown: they may be secrets."""
    old, new = flatten(_to_plain(before)), flatten(_to_plain(after))
    keys = (*new, *(key for key in old if key not in new))
    return [_change(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def write_spec(deployed: DesiredDeployment | None) -> str:
    """A deployment as a spec file, without the values of environment variables; empty if there is none."""
    if deployed is None:
        return ""
    return yaml.safe_dump(_hide(msgspec.to_builtins(render(deployed))), sort_keys=False, allow_unicode=True)


def _hide(section: Any) -> Any:
    if isinstance(section, dict):
        return {
            key: dict.fromkeys(value, "(not shown)") if key == SECRETS else _hide(value)
            for key, value in section.items()
        }
    return [_hide(one) for one in section] if isinstance(section, list) else section


def _change(key: str, before: str | None, after: str | None) -> Change:
    if f".{SECRETS}." not in key:
        return Change(key, before, after)
    changed = "another value" if before is not None else "a value"
    return Change(key, None if before is None else "a value", None if after is None else changed)


def _to_plain(entry: HistoryEntry) -> dict[str, Any]:
    variants = []
    for variant in entry.version.variants:
        found = _strip(msgspec.to_builtins(variant))
        digests = entry.artifacts.get(variant.name, ())
        variants.append({**found, "model data": [digest[:19] for digest in digests if digest]})
    return {"variants": variants, "rollout": _strip(msgspec.to_builtins(entry.deployment))}


def _strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strip(each) for key, each in value.items() if key not in UNSEEN}
    return [_strip(each) for each in value] if isinstance(value, list | tuple) else value
