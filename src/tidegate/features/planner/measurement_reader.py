"""Reads what a running endpoint has shown, from the metrics and the usage that the platform keeps."""

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Conflict
from tidegate.domain.metric import INSTANCES, SAGEMAKER, MetricId, Sample
from tidegate.features.cost.reader import CostReader
from tidegate.features.planner.measured import DAY, HOUR, MONTH, find_busy_rate
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import parse_endpoint_name
from tidegate.host import memory
from tidegate.monitoring import sketch
from tidegate.service import endpoints

MINUTE = 60
_OF_VARIANTS = {"EndpointName", "VariantName"}


async def show_measured(gateway: Gateway, request: Request) -> Response:
    """Raises NotFound, and Conflict for an endpoint without requests."""
    name = parse_endpoint_name(request)
    endpoint = (await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))).body
    until = int(gateway.context.clock.now().timestamp())
    since = max(int(endpoint.created_at.timestamp()), (until - MONTH) // HOUR * HOUR)
    cost = await CostReader(gateway).read(name)
    lines = cost["lines"]
    billed = [line["quantity"] for line in lines if line["unit"] == "GB-seconds"]
    used = {
        "hours": {line["of"]: line["quantity"] for line in lines if line["unit"] == "hours"},
        "gb_seconds": sum(billed) if billed else None,
        "metered_since": int(datetime.fromisoformat(cost["since"]).timestamp()),
    }
    return JSONResponse({"endpoint": name, **await _measure(gateway, endpoint, since, until), **used})


async def _measure(gateway: Gateway, endpoint: Endpoint, since: int, until: int) -> dict[str, Any]:
    async def read(namespace: str, metric: str, period: int) -> list[dict[int, Sample]]:
        return await _read_variants(gateway, endpoint.name, (namespace, metric), (since, until), period)

    hourly: dict[int, float] = {}
    whole: list[Sample] = []
    for spans in await read(SAGEMAKER, "ModelLatency", HOUR):
        whole += spans.values()
        for begin, sample in spans.items():
            hourly[begin] = hourly.get(begin, 0.0) + sample.count
    requests = sum(hourly.values())
    slowest = sketch.percentile(sketch.merge(sample.bins for sample in whole), 99)
    if not requests or slowest is None:
        raise Conflict(
            f"endpoint {endpoint.name!r} has answered no request in {MONTH // DAY} days: nothing is measured"
        )
    busiest = [
        sample.total
        for spans in await read(SAGEMAKER, "InvocationsPerInstance", MINUTE)
        for sample in spans.values()
    ]
    used = [sample.high for spans in await read(INSTANCES, "MemoryUtilization", DAY) for sample in spans.values()]
    return {
        "target": endpoint.target,
        "since": since,
        "until": until,
        "requests": requests,
        "busy_rate": find_busy_rate(hourly, since, until),
        "instance_rate": max(busiest) / MINUTE if busiest else None,
        "processing_time": sum(sample.total for sample in whole) / requests / 1e6,
        "p99": slowest / 1e6,
        # Only here the machine is known whose percent it is.
        "memory": max(used) / 100 * memory.machine() if used and endpoint.target == "local" else None,
    }


async def _read_variants(
    gateway: Gateway, name: str, metric: tuple[str, str], span: tuple[int, int], period: int
) -> list[dict[int, Sample]]:
    """Return the samples of each variant by the begin of their periods, which are those of the clock."""
    metrics, (since, until) = gateway.context.metrics, span
    start = since // period * period
    found = await metrics.series(*metric, [("EndpointName", name)], start)
    return [await metrics.read(one, start, until + MINUTE, period) for one in found if _is_of_variant(one)]


def _is_of_variant(metric: MetricId) -> bool:
    return {key for key, _ in metric.dimensions} == _OF_VARIANTS
