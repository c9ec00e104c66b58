"""Whatever one replica's page, or the proxy, says of one endpoint: nothing of another endpoint changes, nothing is
raised, and everything that is kept is finite."""

import asyncio
import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.collector_harness import NOW, CollectorHarness, collecting, second, spread
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import Coverage, FleetSecond, Sample
from tidegate.monitoring.samples import flaw, statistic
from tidegate.ports.router import PassedRequests
from tidegate.service import clients, fleet_totals, metric_samples, prometheus

GOOD = FleetId("good", 1, "main")
EVIL = FleetId("evil", 1, "main")

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        [1.7e308, -1.7e308, 2.0**360, 10**400, NOW, NOW + 10**6, -1, 0, "\ud800", "a\0b", "EndpointName"]
    )
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
SERIES = st.fixed_dictionaries(
    {
        "name": st.sampled_from(
            ["Invocation5XXErrors", "ModelLatency", "MirrorDifference", "ContainerLatency", "X"]
        ),
        "dimensions": st.dictionaries(
            st.sampled_from(["EndpointName", "VariantName", "EndpointConfigName", "TargetModel", "ContainerName"]),
            st.sampled_from(["good", "main", "fraud-v1", "primary", "m1", "m2", ""]),
            max_size=3,
        ),
        "spread": st.just(spread(1.0)) | st.just(spread(2.0**360, 2.0**360)) | JSON,
    }
)


@st.composite
def pages(draw: st.DrawFn) -> bytes:
    """A page of which some places hold what they should not."""
    seconds: list[Any] = [second(NOW - number, errors=number) for number in (3, 2, 1)]
    for row in seconds:
        row["series"] = draw(st.lists(SERIES, max_size=2))
    page: Any = {"now": NOW + 0.05, "in_flight": 1, "answered": 5, "seconds": seconds}
    for _ in range(draw(st.integers(0, 4))):
        place = page
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
                place = inner
                continue
            place[key] = draw(JSON)
            break
        if not isinstance(page, dict):
            break
    return json.dumps(page).encode()


BODIES = pages() | JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50)
NUMBERS: Any = st.integers() | st.floats() | st.none() | st.booleans() | st.just("7")
LOADS = st.builds(
    PassedRequests,
    unanswered=NUMBERS,
    refused=NUMBERS,
    throttled=NUMBERS,
    in_flight=NUMBERS,
    queued=NUMBERS,
    queue_time=NUMBERS,
    unavailable=NUMBERS,
    unserved=st.booleans(),
)


Seen = tuple[list[FleetSecond], Coverage, list[Sample]]


def play(body: bytes, left: bytes, load: PassedRequests) -> Seen:
    """Three rounds of the whole way that numbers go; what is seen of the good endpoint."""

    async def rounds(stand: CollectorHarness) -> Seen:
        good, evil = stand.worker(GOOD, "r-good"), stand.worker(EVIL, "r-evil")
        good.seconds = {at: second(at, errors=3) for at in range(NOW - 5, NOW + 3)}
        evil.raw = body
        known: clients.NamesByVariant = {}
        totals: fleet_totals.Totals = {}
        seconds: list[FleetSecond] = []
        coverage: dict[str, Coverage] = {}
        for now in range(NOW, NOW + 3):
            stand.loads = [{EVIL: load, GOOD: PassedRequests(unanswered=1, queue_time=0.0)}]
            if now == NOW + 1:
                stand.collector.harvest(_spec(stand), "r-gone", left)
            collected = await stand.collect(now)
            coverage = collected.coverage
            known, some = clients.bound_names(known, collected.seconds)
            totals = fleet_totals.add(totals, some)
            seconds += some
        samples = metric_samples.samples(seconds, frozenset({("good", "main"), ("evil", "main")}))
        check(samples)
        check_page(prometheus.render(totals, (), ()))
        mine = [one for one in seconds if one.fleet == GOOD]
        found = [sample for sample in samples if dict(sample.metric.dimensions)["EndpointName"] == "good"]
        assert stand.target.answers[GOOD][0] == 0
        return mine, coverage["good"], found

    with collecting() as stand:
        return asyncio.run(rounds(stand))


def _spec(stand: CollectorHarness) -> Any:
    found = stand.target.spec(EVIL)
    assert found is not None
    return found


def check(samples: list[Sample]) -> None:
    for sample in samples:
        assert flaw(sample) is None
        assert dict(sample.metric.dimensions)["EndpointName"] in ("good", "evil")
        for name in ("Average", "Sum", "Minimum", "Maximum", "SampleCount", "p50", "p99.9"):
            value = statistic(sample, name)
            assert value is None or math.isfinite(value)


def check_page(page: str) -> None:
    for line in page.splitlines():
        if not line.startswith("#"):
            assert math.isfinite(float(line.rpartition(" ")[2]))


BASE = play(b"", b"", PassedRequests())


@given(BODIES, BODIES, LOADS)
def test_no_input_of_one_endpoint_changes_what_another_is_judged_by(
    body: bytes, left: bytes, load: PassedRequests
) -> None:
    assert play(body, left, load) == BASE
