"""The least IAM policy of a target, from the list of the calls that it makes. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

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
    made: dict[str, object] = {
        "Sid": "".join(word.capitalize() for word in row.why.replace("-", " ").split() if word.isalnum()),
        "Effect": "Allow",
        "Action": [action_of(row.service, operation) for operation in row.operations],
        "Resource": list(row.resources),
    }
    if row.conditions:
        conditions: dict[str, dict[str, str]] = {}
        for operator, key, value in row.conditions:
            conditions.setdefault(operator, {})[key] = value
        made["Condition"] = conditions
    return made
