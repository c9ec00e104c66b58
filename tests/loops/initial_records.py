"""Initial records of a simulated world: models, configs, alarms, a serving endpoint, and a newly requested update."""

from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from tests.loops.ground_truth import MAIN
from tests.loops.plans import NEW, NEXT, OLD, VARIANT, Neighbour, WorldPlan
from tidegate.domain.alarm import Alarm, ComparisonOperator, MissingData
from tidegate.domain.endpoint import Endpoint, EndpointConfig, ProductionVariant
from tidegate.domain.observation import Capabilities
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.scaling import Dimension, FastPolicy, ScalableTarget
from tidegate.features.autoscaling.scalable_records import SCALABLE, PolicyRecord, Scalable
from tidegate.ports.store import Tx
from tidegate.rollout import desired_state
from tidegate.service import endpoints
from tidegate.service.endpoints import UpdateRequest
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL
from tidegate.simulation.world import START

FIRST = "r1"
"""The rollout with which every world begins."""
NEIGHBOUR = "neighbour"


@lru_cache(maxsize=64)
def _make_config(name: str, count: int) -> tuple[Model, EndpointConfig]:
    model = Model(f"model-{name}", (ContainerDefinition("sample", data_url=f"file:///models/{name}"),), START)
    variant = ProductionVariant(VARIANT, model.name, count, "local", download_timeout=10, startup_timeout=10)
    return model, EndpointConfig(name, (variant,), START)


def write_records(tx: Tx, plan: WorldPlan, now: datetime) -> None:
    """Write them all."""
    for name, count in ((OLD, plan.old_count), (NEW, plan.new_count), (NEXT, plan.new_count)):
        model, config = _make_config(name, count)
        tx.put(MODEL, model.name, model, expect=0, now=now)
        tx.put(CONFIG, name, config, expect=0, now=now)
    for alarm in plan.guards:
        tx.put(ALARM, alarm.name, replace(alarm, configured_at=now), expect=0, now=now)
    tx.put(ENDPOINT, MAIN, _make_endpoint(tx, MAIN, now), expect=0, now=now)
    if plan.neighbour is not None:
        tx.put(ENDPOINT, NEIGHBOUR, _make_endpoint(tx, NEIGHBOUR, now), expect=0, now=now)
        for number in range(plan.neighbour.alarms):
            tx.put(ALARM, f"n{number}", _make_costly_alarm(plan.neighbour, number, now), expect=0, now=now)
    if plan.scaled:
        tx.put(SCALABLE, _make_scalable(now).name, _make_scalable(now), expect=0, now=now)


def _make_endpoint(tx: Tx, name: str, now: datetime) -> Endpoint:
    endpoint = Endpoint(name, now, now, generation=1)
    saved = tx.get(CONFIG, OLD)
    assert saved is not None
    endpoint = replace(endpoint, serving=endpoints.build_version(tx, saved.body, 1))
    return desired_state.route(endpoint, 0)


def _make_costly_alarm(neighbour: Neighbour, number: int, now: datetime) -> Alarm:
    return Alarm(
        name=f"n{number}",
        namespace="AWS/SageMaker",
        metric="Invocation5XXErrors",
        dimensions={"EndpointName": NEIGHBOUR, "VariantName": VARIANT},
        statistic="Average",
        period=1,
        evaluation_periods=neighbour.periods,
        datapoints_to_alarm=neighbour.periods,
        threshold=0.5,
        comparison=ComparisonOperator.GREATER,
        configured_at=now,
        missing=MissingData.MISSING,
    )


def _make_scalable(now: datetime) -> Scalable:
    rule = PolicyRecord(
        "p1", "arn", now, fast=FastPolicy("fast", in_flight=2.0, smoothing=0.0, scale_in_window=5.0)
    )
    target = ScalableTarget(MAIN, VARIANT, Dimension.INSTANCES, 1, 3, now)
    return Scalable("s1", target, (rule,))


def request_update(tx: Tx, plan: WorldPlan, now: datetime) -> None:
    """Request the update to the new version."""
    asked = UpdateRequest(NEW, plan.deployment, "sim")
    endpoints.update_endpoint(tx, MAIN, asked, rollout_id=FIRST, can=Capabilities(), now=now)
