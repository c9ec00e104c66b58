"""Which version Lambda's counts belong to: it names one only while the alias leads to two."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from tests.unit.targets.aws_lambda.test_target import OPTIONS
from tidegate.domain.fleet import FleetId
from tidegate.targets.aws.period_progress import PeriodProgress
from tidegate.targets.aws_lambda.evidence import AwsLambdaEvidence

OLD, NEW = FleetId("fraud", 1, "AllTraffic"), FleetId("fraud", 2, "AllTraffic")
MINUTE = 1200


class Canary:
    """A minute in which the alias led to both versions: 90 requests to version 1, 10 to version 2."""

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
        lines = []
        for query in members["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            version = {one["Name"]: one["Value"] for one in metric["Dimensions"]}.get("ExecutedVersion", "")
            count = {"": 100.0, "1": 90.0, "2": 10.0}[version] if metric["MetricName"] == "Invocations" else 0.0
            times = [datetime.fromtimestamp(MINUTE, UTC)]
            lines.append({"Id": query["Id"], "StatusCode": "Complete", "Values": [count], "Timestamps": times})
        return {"MetricDataResults": lines}


def test_a_version_that_takes_over_is_not_charged_with_the_requests_of_the_one_before() -> None:
    target: Any = SimpleNamespace(configs={OLD: ("1", "v1"), NEW: ("2", "v2")}, routes={"fraud": (OLD, NEW)})
    evidence = AwsLambdaEvidence(Canary(), target, OPTIONS, PeriodProgress(120))
    found = []
    for now in range(MINUTE, MINUTE + 400, 10):
        if now == MINUTE + 70:  # the rollout is over, and the old version gone
            target.configs, target.routes = {NEW: ("2", "v2")}, {"fraud": (NEW,)}
        found += asyncio.run(evidence.collect(now)).seconds
    counted = {id: sum(one.invocations for one in found if one.fleet == id) for id in (OLD, NEW)}
    assert counted == {OLD: 90, NEW: 10}
