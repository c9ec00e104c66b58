"""What CloudWatch cannot read of one endpoint costs no other one its counts, and is counted once it can be read."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.targets.aws_lambda.test_target import OPTIONS as LAMBDA_OPTIONS
from tests.unit.targets.ecs.test_target import OPTIONS as ECS_OPTIONS
from tests.unit.targets.sagemaker.aws_specs import options as sagemaker_options
from tidegate.domain.errors import Transient
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import CollectionRound
from tidegate.ports.target import EvidenceSource
from tidegate.targets.aws.period_progress import MOST, PeriodProgress
from tidegate.targets.aws_lambda.evidence import AwsLambdaEvidence
from tidegate.targets.ecs.provider import EcsEvidence
from tidegate.targets.sagemaker.engine_evidence import SagemakerEvidence

GOOD, BAD = FleetId("fraud", 1, "AllTraffic"), FleetId("spam", 1, "AllTraffic")
BEGIN = 12_000
FIRST, UNTIL, AWAY, BACK = BEGIN + 120, BEGIN + 2400, BEGIN + 410, BEGIN + 1300
"""Ten requests of each endpoint in each minute from FIRST on; one endpoint cannot be read from AWAY to BACK."""


class Account:
    """CloudWatch, of which one endpoint's metrics cannot be read for a while."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.unreadable: set[str] = set()

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
        lines = []
        for query in members["MetricDataQueries"]:
            metric, stat = query["MetricStat"]["Metric"], query["MetricStat"]["Stat"]
            where = " ".join(one["Value"] for one in metric["Dimensions"])
            bad = any(name in where for name in self.unreadable)
            counted = metric["MetricName"] in ("RequestCount", "Invocations") and stat == "Sum"
            since, until = members["StartTime"].timestamp(), min(members["EndTime"].timestamp(), UNTIL, self.now)
            minutes = [] if bad else [at for at in range(FIRST, UNTIL, 60) if since <= at < until]
            lines.append(
                {
                    "Id": query["Id"],
                    "StatusCode": "Forbidden" if bad else "Complete",
                    "Values": [10.0 if counted else 0.0] * len(minutes),
                    "Timestamps": [datetime.fromtimestamp(at, UTC) for at in minutes],
                }
            )
        return {"MetricDataResults": lines}


def ecs(account: Account) -> EvidenceSource:
    target: Any = SimpleNamespace(configs={id: (f"arn:targetgroup/{id.endpoint}/1", "v1") for id in (GOOD, BAD)})
    return EcsEvidence(account, target, ECS_OPTIONS, PeriodProgress(120))


def aws_lambda(account: Account) -> EvidenceSource:
    routes = {id.endpoint: (id,) for id in (GOOD, BAD)}
    target: Any = SimpleNamespace(configs={id: ("1", "v1") for id in (GOOD, BAD)}, routes=routes)
    return AwsLambdaEvidence(account, target, LAMBDA_OPTIONS, PeriodProgress(120))


def sagemaker(account: Account) -> EvidenceSource:
    seen = SimpleNamespace(variants={"g1-AllTraffic": SimpleNamespace(count=1)}, config="c")
    endpoints = {id.endpoint: (SimpleNamespace(fleets={}), seen) for id in (GOOD, BAD)}
    target: Any = SimpleNamespace(options=sagemaker_options(mode="engine"), endpoints=lambda: endpoints)
    return SagemakerEvidence(target, account)


@pytest.mark.parametrize("source", [ecs, aws_lambda, sagemaker])
def test_an_endpoint_that_cannot_be_read_holds_no_other_up_and_is_counted_once_it_can_be(source: Any) -> None:
    account = Account()
    evidence: EvidenceSource = source(account)
    rounds: list[CollectionRound] = []
    for now in range(BEGIN, UNTIL + 600, 10):
        account.now, account.unreadable = now, {"spam"} if AWAY <= now < BACK else set()
        found = asyncio.run(evidence.collect(now))
        rounds.append(found)
        if now == BACK - 10:
            assert found.coverage["fraud"].through > BACK - 300
            assert found.coverage["spam"].through < AWAY
    requests, periods = Counter[str](), Counter[str]()
    for one in rounds:
        for second in one.seconds:
            requests[second.fleet.endpoint] += second.invocations
        for reports in one.periods.values():
            for period in reports:
                periods[period.fleet.endpoint] += period.requests
    whole = 10 * (UNTIL - FIRST) // 60
    assert requests == periods == {"fraud": whole, "spam": whole}


@pytest.mark.parametrize("source", [ecs, aws_lambda, sagemaker])
def test_where_nothing_can_be_read_the_reason_is_told(source: Any) -> None:
    account = Account()
    evidence: EvidenceSource = source(account)
    asyncio.run(evidence.collect(BEGIN))
    account.unreadable = {"spam", "fraud"}
    with pytest.raises(Transient, match="Forbidden"):
        asyncio.run(evidence.collect(BEGIN + 300))


def test_an_endpoint_that_can_never_be_read_does_not_widen_the_questions_without_end() -> None:
    progress = PeriodProgress(settle=120)
    for now in range(BEGIN, BEGIN + 3 * MOST * 60, 60):
        span = progress.begin({"fraud", "spam"}, now)
        assert span is not None and span[1] - span[0] <= (MOST + 4) * 60
        progress.end(now, {"spam": "Forbidden"})
    covered = progress.coverage()["spam"]
    assert covered.since == covered.through > BEGIN, "what is older is no longer known"


@pytest.mark.parametrize("last", [BEGIN + 600, BEGIN + 650])
def test_after_a_restart_no_request_at_sagemaker_is_counted_twice(last: int) -> None:
    """The first process ends at the beginning or at the end of a minute. What neither counts is not said to be
    known."""
    account, counted = Account(), Counter[int]()
    for began, end in ((BEGIN + 300, last), (last + 1, BEGIN + 1200)):
        evidence = sagemaker(account)
        for now in range(began, end, 30):
            account.now = now
            found = asyncio.run(evidence.collect(now))
            for second in found.seconds:
                counted[second.second // 60 * 60] += second.invocations * (second.fleet == GOOD)
    assert max(counted.values()) == 10
    span = found.coverage["fraud"]
    assert span.since < span.through
    assert all(counted[at] == 10 for at in range(span.since, span.through, 60))


@pytest.mark.parametrize("source", [ecs, aws_lambda, sagemaker])
async def test_after_the_clock_was_set_back_nothing_is_known_of_a_time_to_come(source: Any) -> None:
    """Otherwise a rollout would go on for an hour by counts of which none is read."""
    account = Account()
    evidence: EvidenceSource = source(account)
    back = BEGIN + 3_600
    for now in range(back, back + 900, 10):
        account.now = now
        await evidence.collect(now)
    counted = 0
    for now in range(BEGIN, BEGIN + 900, 10):
        account.now = now
        found = await evidence.collect(now)
        assert all(BEGIN - 600 <= one.since <= one.through <= now for one in found.coverage.values())
        counted += sum(one.invocations for one in found.seconds)
    assert {name for name, one in found.coverage.items() if one.through >= BEGIN + 600} == {"fraud", "spam"}
    assert counted > 0
