"""An alarm on a misspelled namespace of the platform guards no rollout, and so it is refused as a guard."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.memory_store import MemoryTx
from tests.metric_alarm import metric_alarm
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import MetricId, Query
from tidegate.domain.rollout import DeploymentConfig
from tidegate.service import endpoints
from tidegate.service.record_kinds import ALARM

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GUARDED = DeploymentConfig(alarms=("errors",))


@pytest.mark.parametrize(
    "namespace",
    [
        *("AWS/Sagemaker", "aws/sagemaker", "AWS/SageMaker ", "TideGate/evidence"),
        *("AWS/ SageMaker", "AWS/SageMaker\u200b", "\ufeffAWS/SageMaker", "AWS/Sage\u00adMaker"),
    ],
)
@pytest.mark.parametrize("by_math", [False, True])
def test_a_misspelled_namespace_is_no_guard(namespace: str, by_math: bool) -> None:
    tx, alarm = MemoryTx(), replace(metric_alarm(NOW), name="errors", namespace=namespace)
    if by_math:
        query = Query("m", MetricId(namespace, "Invocations"), "Sum")
        alarm = replace(alarm, namespace="", metric="", queries=(query,))
    tx.put(ALARM, "errors", alarm, expect=0, now=NOW)
    with pytest.raises(Invalid, match="nothing is ever written"):
        endpoints.read_guards(tx, GUARDED)


@pytest.mark.parametrize("namespace", ["AWS/SageMaker", "/aws/sagemaker/Endpoints", "AWS/ApplicationELB", "Shop"])
def test_other_namespaces_guard_a_rollout(namespace: str) -> None:
    tx, alarm = MemoryTx(), replace(metric_alarm(NOW), name="errors", namespace=namespace)
    tx.put(ALARM, "errors", alarm, expect=0, now=NOW)
    assert endpoints.read_guards(tx, GUARDED) == (alarm,)
