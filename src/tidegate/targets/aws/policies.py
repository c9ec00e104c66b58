"""The least IAM policy of a target, from the list of the calls that it makes. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.targets.aws.errors import action_of


@dataclass(frozen=True)
class CallRow:
    """Calls of one service on the same resources. ``why``: for whoever reads the policy."""

    service: str
    operations: tuple[str, ...]
    resources: tuple[str, ...]
    why: str
    conditions: tuple[tuple[str, str, str], ...] = ()
    """(operator, key, value)."""


def least_policy(rows: Iterable[CallRow]) -> dict[str, object]:
    return {"Version": "2012-10-17", "Statement": [_statement(row) for row in rows]}


def _statement(row: CallRow) -> dict[str, object]:
    conditions: dict[str, dict[str, str]] = {}
    for operator, key, value in row.conditions:
        conditions.setdefault(operator, {})[key] = value
    sid = "".join(word.capitalize() for word in row.why.replace("-", " ").split() if word.isalnum())
    actions = [action_of(row.service, operation) for operation in row.operations]
    return statement(sid, actions, row.resources, conditions)


def statement(
    sid: str, actions: Iterable[str], resources: Iterable[str], condition: Mapping[str, object] | None = None
) -> dict[str, Any]:
    made = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**made, **({"Condition": condition} if condition else {})}
