"""Metrics of many models: who has a series, that the whole stays the whole, and that there are never too many."""

import math
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import INSTANCES, SAGEMAKER, FleetSecond, Latency, MetricId, WorkerSeries
from tidegate.monitoring import sketch
from tidegate.service import fleet_totals, metric_samples, prometheus
from tidegate.service.clients import (
    BUSIER_FACTOR,
    HALF_LIFE,
    MAX_NAMES,
    MAX_WATCHED,
    MODEL_DIMENSION,
    OTHER,
    ClientNames,
    bound_names,
)

FLEET = FleetId("clients", 1, "main")
KEY = ("clients", "main")


def values(*numbers: float) -> Latency:
    bins = Counter(sketch.index(number) for number in numbers)
    return Latency(dict(bins), math.fsum(numbers), min(numbers), max(numbers))


def asked(second: int, requests: dict[str, int], generation: int = 1) -> FleetSecond:
    """One second of requests: model -> how many, each of 1,000 microseconds, all well answered."""
    series = []
    for name, count in requests.items():
        named = ((MODEL_DIMENSION, name),)
        series.append(WorkerSeries("Invocations", named, values(*[1.0] * count)))
        series.append(WorkerSeries("Invocation5XXErrors", named, values(*[0.0] * count)))
        series.append(WorkerSeries("ModelLatency", named, values(*[1000.0] * count)))
    total = sum(requests.values())
    if total:
        series.append(WorkerSeries("ModelCacheHit", (), values(0.0, *[1.0] * (total - 1))))
        series.append(WorkerSeries("LoadedModelCount", (), values(7.0)))
        series.append(WorkerSeries("ModelLoadingTime", (), values(5_000.0)))
    fleet = FleetId("clients", generation, "main")
    return FleetSecond(fleet, f"v{generation}", second, 1, invocations=total, series=tuple(series))


def shown(second: FleetSecond, name: str = "Invocations") -> dict[str, float]:
    """Model -> count of a second's series."""
    return {dict(one.dimensions)[MODEL_DIMENSION]: one.values.total for one in second.series if one.name == name}


def test_as_long_as_there_is_room_everyone_is_named() -> None:
    requests = {f"c{number}": number + 1 for number in range(MAX_NAMES)}
    _, (second,) = bound_names({}, [asked(1, requests)])
    assert shown(second) == requests


def test_the_busiest_are_named_and_the_rest_is_counted_together() -> None:
    requests = {f"c{number}": number + 1 for number in range(MAX_NAMES + 10)}
    _, (second,) = bound_names({}, [asked(1, requests)])
    found = shown(second)
    assert len(found) == MAX_NAMES + 1
    assert found[OTHER] == sum(range(1, 11))
    assert sum(found.values()) == sum(requests.values())


def test_a_newcomer_takes_a_place_once_it_is_clearly_busier() -> None:
    known, _ = bound_names({}, [asked(1, {f"c{number}": 10 for number in range(MAX_NAMES)})])
    enough = int(10 * BUSIER_FACTOR)
    known, (second,) = bound_names(known, [asked(2, {"new": enough - 1})])
    assert shown(second) == {OTHER: enough - 1}
    known, (second,) = bound_names(known, [asked(3, {"new": 1})])
    assert shown(second) == {"new": 1}
    assert len(known[KEY].named) == MAX_NAMES


def test_a_name_that_is_no_longer_heard_gives_its_place_up() -> None:
    known, _ = bound_names({}, [asked(1, {f"c{number}": 10 for number in range(MAX_NAMES)})])
    later = 1 + int(10 * HALF_LIFE)
    known, (second,) = bound_names(known, [asked(later, {"new": 1})])
    assert shown(second) == {"new": 1}


def test_variants_do_not_share_places() -> None:
    crowd = {f"c{number}": 5 for number in range(MAX_NAMES)}
    known, _ = bound_names({}, [asked(1, crowd)])
    other = FleetSecond(FleetId("others", 1, "main"), "v1", 1, 1, series=asked(1, {"x": 1}).series)
    _, (second,) = bound_names(known, [other])
    assert shown(second) == {"x": 1}


def test_other_series_pass_as_they_are() -> None:
    series = WorkerSeries("ContainerLatency", (("ContainerName", "a"),), values(3.0))
    plain = FleetSecond(FLEET, "v1", 1, 1, series=(series,))
    assert bound_names({}, [plain]) == ({}, [plain])


SECONDS = st.lists(
    st.dictionaries(st.integers(0, 400).map("c{}".format), st.integers(1, 9), max_size=120), min_size=1, max_size=8
)


@settings(deadline=None, max_examples=40)
@given(SECONDS)
def test_there_are_never_too_many_and_none_is_lost(steps: list[dict[str, int]]) -> None:
    known: dict[tuple[str, str], ClientNames] = {}
    totals: dict[fleet_totals.FleetKey, fleet_totals.FleetTotals] = {}
    for at, requests in enumerate(steps):
        known, (second,) = bound_names(known, [asked(at, requests)])
        found = shown(second)
        assert len(found.keys() - {OTHER}) <= MAX_NAMES
        assert sum(found.values()) == sum(requests.values())
        names = known.get(KEY, ClientNames())
        assert len(names.named) <= MAX_NAMES
        assert len(names.watched) <= MAX_WATCHED
        assert not names.named.keys() & names.watched.keys()
        totals = fleet_totals.add(totals, [second])
        models = totals[fleet_totals.FleetKey("clients", "main", "v1")].models
        assert models is None or len(models.clients) <= MAX_NAMES + 1


def test_each_is_published_under_its_name_in_its_unit() -> None:
    second = asked(9, {"acme.tar.gz": 4})
    made = {sample.metric: sample for sample in metric_samples.samples([second])}
    variant = {"EndpointName": "clients", "VariantName": "main"}
    for dims in (variant, {**variant, "EndpointConfigName": "v1"}):
        hits = made[MetricId.of(SAGEMAKER, "ModelCacheHit", dims)]
        assert (hits.unit, hits.total, hits.count) == ("None", 3, 4)
        loading = made[MetricId.of(SAGEMAKER, "ModelLoadingTime", dims)]
        assert (loading.unit, loading.total) == ("Microseconds", 5_000)
        loaded = made[MetricId.of(INSTANCES, "LoadedModelCount", dims)]
        assert (loaded.unit, loaded.total / loaded.count) == ("None", 7)
        one = {**dims, "TargetModel": "acme.tar.gz"}
        assert made[MetricId.of(SAGEMAKER, "Invocations", one)].total == 4
        latency = made[MetricId.of(SAGEMAKER, "ModelLatency", one)]
        assert (latency.unit, latency.total, latency.count) == ("Microseconds", 4_000, 4)


def test_the_page_for_prometheus_has_models_and_clients() -> None:
    totals = fleet_totals.add({}, [asked(9, {"acme.tar.gz": 4}), asked(10, {"acme.tar.gz": 2, 'b"r': 1})])
    page = prometheus.render(totals, [], [])
    fleet = 'endpoint="clients",variant="main",config="v1"'
    for line in (
        f"tidegate_loaded_models{{{fleet}}} 7",
        f"tidegate_model_cache_hits_total{{{fleet}}} 5",
        f"tidegate_model_cache_misses_total{{{fleet}}} 2",
        f"tidegate_model_loading_seconds_count{{{fleet}}} 2",
        f'tidegate_target_model_invocations_total{{{fleet},model="acme.tar.gz"}} 6',
        f'tidegate_target_model_invocations_total{{{fleet},model="b\\"r"}} 1',
        f'tidegate_target_model_latency_seconds_total{{{fleet},model="acme.tar.gz"}} 0.006',
    ):
        assert line in page.splitlines()


def test_a_page_without_such_fleets_says_nothing_of_models() -> None:
    page = prometheus.render(fleet_totals.add({}, [FleetSecond(FLEET, "v1", 1, 1, invocations=1)]), [], [])
    assert "model_cache" not in page
    assert "target_model" not in page
