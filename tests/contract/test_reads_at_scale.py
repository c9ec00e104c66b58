"""What one call reads does not grow with the endpoints that it is not about.

Statements and records that were read are counted, and the steps of SQLite's machine, which says whether a statement
looked at rows that it did not return. None of them depends on how fast or busy the machine is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.served_wire import ACCOUNT, REGION, Served, serve
from tidegate.domain.scaling import Dimension
from tidegate.features.autoscaling.scalable_records import SCALABLE, record_name
from tidegate.gateway import native
from tidegate.ports.store import Kind, Tx
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, HISTORY, MODEL, USAGE
from tidegate.service.records import require
from tidegate.store import transaction

FEW, MANY = 150, 450
"""Endpoints; listings by status read a hundred at a time."""
INSTANCES = "sagemaker:variant:DesiredInstanceCount"
MAIN = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/main", "ScalableDimension": INSTANCES}
VARIANT = {"VariantName": "main", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
TAG = {"Key": "team", "Value": "a"}
ALARM_TERMS: dict[str, Any] = {
    "Namespace": "AWS/SageMaker",
    "MetricName": "Invocation5XXErrors",
    "Dimensions": [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "main"}],
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 0.1,
    "ComparisonOperator": "GreaterThanThreshold",
}


@dataclass
class Spent:
    statements: int = 0
    records: int = 0
    steps: int = 0


@contextmanager
def counting(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spent]:
    spent, engine, decode = Spent(), served.store.database._engine, transaction._saved

    def step() -> None:
        spent.steps += 1

    def begin(connection: Any, *_: Any) -> None:
        spent.statements += 1
        connection.connection.dbapi_connection.set_progress_handler(step, 1)

    def read(kind: Any, row: Any) -> Any:
        spent.records += 1
        return decode(kind, row)

    event.listen(engine, "before_cursor_execute", begin)
    with monkeypatch.context() as patched:
        patched.setattr(transaction, "_saved", read)
        try:
            yield spent
        finally:
            event.remove(engine, "before_cursor_execute", begin)


@contextmanager
def crowded(folder: Path, others: int) -> Iterator[Served]:
    """The endpoint ``e``, scaled and with an alarm, among others that have all that it has."""
    with serve(f"sqlite:///{folder / f'{others}.db'}") as served:
        sagemaker, scaling = served.client("sagemaker"), served.client("application-autoscaling")
        sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "tidegate/xgboost"})
        for config in ("v1", "v2"):
            sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[VARIANT])
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="v1")
        served.settle("e")
        scaling.register_scalable_target(**MAIN, MinCapacity=1, MaxCapacity=2)
        served.client("cloudwatch").put_metric_alarm(AlarmName="e-errors", **ALARM_TERMS)
        served.run(served.store.run(lambda tx: copy(tx, served, others)))
        yield served


def copy(tx: Tx, served: Served, others: int) -> None:
    now = served.clock.now()
    scaled = record_name("e", "main", Dimension.INSTANCES)
    own: list[tuple[Kind[Any], str]] = [
        *((ENDPOINT, "e"), (HISTORY, "e"), (USAGE, "e"), (SCALABLE, scaled)),
        *((MODEL, "m"), (CONFIG, "v1"), (ALARM, "e-errors")),
    ]
    for kind, name in own:
        body = require(tx, kind, name).body
        named = kind in (ENDPOINT, MODEL, CONFIG, ALARM)
        for number in range(others):
            new = f"other-{number}{name.removeprefix('e')}"
            tx.put(kind, new, replace(body, name=new) if named else body, expect=0, now=now)


Call = Callable[[Served], object]


def _sagemaker(operation: str, **params: Any) -> Call:
    return lambda served: getattr(served.client("sagemaker"), operation)(**params)


def _scaling(operation: str, **params: Any) -> Call:
    return lambda served: getattr(served.client("application-autoscaling"), operation)(**params)


def _cloudwatch(operation: str, **params: Any) -> Call:
    return lambda served: getattr(served.client("cloudwatch"), operation)(**params)


CALLS: dict[str, Call] = {
    "describe": _sagemaker("describe_endpoint", EndpointName="e"),
    "list": _sagemaker("list_endpoints", MaxResults=10),
    "list by name": _sagemaker("list_endpoints", MaxResults=10, SortBy="Name", SortOrder="Ascending"),
    "list by status": _sagemaker("list_endpoints", MaxResults=10, StatusEquals="InService"),
    "list configs": _sagemaker("list_endpoint_configs", MaxResults=10),
    "create model": _sagemaker("create_model", ModelName="new", PrimaryContainer={"Image": "tidegate/xgboost"}),
    "create config": _sagemaker("create_endpoint_config", EndpointConfigName="v3", ProductionVariants=[VARIANT]),
    "update": _sagemaker("update_endpoint", EndpointName="e", EndpointConfigName="v2"),
    "scale": _sagemaker(
        "update_endpoint_weights_and_capacities",
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "main", "DesiredInstanceCount": 2}],
    ),
    "tags": _sagemaker("add_tags", ResourceArn=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/e", Tags=[TAG]),
    "register": _scaling("register_scalable_target", **MAIN, MinCapacity=1, MaxCapacity=3),
    "deregister": _scaling("deregister_scalable_target", **MAIN),
    "put alarm": _cloudwatch("put_metric_alarm", AlarmName="more", **ALARM_TERMS),
    "describe alarm": _cloudwatch("describe_alarms", AlarmNames=["e-errors"]),
    "alarms by prefix": _cloudwatch("describe_alarms", AlarmNamePrefix="e-"),
    "put data": _cloudwatch("put_metric_data", Namespace="Mine", MetricData=[{"MetricName": "m", "Value": 1.0}]),
    "delete": _sagemaker("delete_endpoint", EndpointName="e"),
}
"""In this order: the last one ends what the others need."""
CREATE = _sagemaker("create_endpoint", EndpointName="new", EndpointConfigName="v1")


@pytest.fixture(scope="module")
def platforms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served]]:
    folder = tmp_path_factory.mktemp("crowded")
    with crowded(folder, FEW) as few, crowded(folder, MANY) as many:
        yield few, many


def spend(served: Served, call: Call, monkeypatch: pytest.MonkeyPatch) -> Spent:
    with counting(served, monkeypatch) as spent:
        call(served)
    served.settle("e")
    return spent


@pytest.mark.parametrize("name", CALLS)
def test_a_call_reads_as_much_among_many_endpoints_as_among_few(
    name: str, platforms: tuple[Served, Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = (spend(served, CALLS[name], monkeypatch) for served in platforms)
    assert (many.statements, many.records) == (few.statements, few.records)
    assert many.steps <= few.steps * 1.2, "rows were looked at that were not returned"


def test_the_list_of_all_endpoints_takes_no_statement_for_each(
    platforms: tuple[Served, Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = (
        spend(served, lambda served: served.run(served.store.run(native._read_endpoints)), monkeypatch)
        for served in platforms
    )
    assert many.statements == few.statements


def test_creation_reads_no_more_records_for_its_look_at_names_in_another_case(
    platforms: tuple[Served, Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names are compared by the database, in an index, without their records."""
    few, many = (spend(served, CREATE, monkeypatch) for served in platforms)
    assert (many.statements, many.records) == (few.statements, few.records)
    assert many.steps - few.steps < 20 * (MANY - FEW)
