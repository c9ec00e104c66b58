"""The autoscaling of an endpoint on its page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tidegate.console.endpoint_card import CardPlace, EndpointCard
from tidegate.console.endpoint_rows import BAD, GOOD, PLAIN
from tidegate.console.page_context import PageContext
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.domain.scaling import Dimension
from tidegate.features.autoscaling import activities
from tidegate.features.autoscaling.scalable_records import ActivityRecord
from tidegate.features.autoscaling.views import scaling_targets
from tidegate.ports.store import Tx

SHOWN = 5
"""Activities, newest first."""
READ = 40
"""Activities among which those that changed nothing are left out."""
TONES = {"Failed": BAD, "Unfulfilled": BAD, "Successful": GOOD}
HOLDS = {"in": "does not scale in", "out": "does not scale out", "scheduled": "no scheduled actions"}


class _ScalingCard(EndpointCard):
    name = "scaling"
    title = "Autoscaling"
    place = CardPlace.ALARMS
    printed_title = "Autoscaling"

    def find(self, tx: Tx, endpoint: Endpoint, seen: Observation | None) -> Mapping[str, Any] | None:
        targets = scaling_targets(tx, endpoint, seen)
        if not targets:
            return None
        done = activities.latest(tx, f"{endpoint.name}/", READ)
        return {"scaling": target_rows(targets), "scaled": activity_rows(done)}


def make_cards(context: PageContext) -> Sequence[EndpointCard]:
    return [_ScalingCard()]


def target_rows(targets: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``targets``: as the native API describes them (``views.scaling_targets``)."""
    return [
        {
            **{key: one[key] for key in ("variant", "min", "max", "desired", "ready", "running")},
            "unit": "instances" if one["dimension"] == Dimension.INSTANCES else Dimension.PROVISIONED.words,
            "rules": [_rule(policy) for policy in one["policies"]],
            "held": ", ".join(text for key, text in HOLDS.items() if one["suspended"][key]),
        }
        for one in targets
    ]


def _rule(policy: Mapping[str, Any]) -> dict[str, Any]:
    ringing = [alarm["name"] for alarm in policy["alarms"] if alarm["state"] == "ALARM"]
    return {"name": policy["name"], "kind": policy["kind"], "ringing": ringing}


def activity_rows(records: Sequence[ActivityRecord]) -> list[dict[str, Any]]:
    """Those that changed something, or failed to."""
    made = [record for record in records if not record.activity.not_scaled][:SHOWN]
    return [
        {
            "at": record.activity.started.isoformat(),
            "variant": record.variant,
            "status": record.activity.status.value,
            "tone": TONES.get(record.activity.status.value, PLAIN),
            "change": f"{record.activity.before} to {record.activity.desired}",
            "why": record.activity.cause,
            "message": record.activity.message,
        }
        for record in made
    ]
