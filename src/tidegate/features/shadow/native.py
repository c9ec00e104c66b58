"""Compares an endpoint's shadow variants with its production variants on the same requests."""

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import NotFound
from tidegate.domain.targets import LOCAL
from tidegate.features.shadow.records import ShadowExperiment
from tidegate.features.shadow.service import find_of_endpoint
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.live import SeriesReader, percentile_milliseconds
from tidegate.gateway.request_parsing import parse_endpoint_name, parse_number
from tidegate.ports.metrics import Metrics
from tidegate.rollout import desired_state
from tidegate.service import endpoints

MAX_COMPARISON = 14 * 86_400
"""Seconds."""


@dataclass(frozen=True)
class ComparedFleet:
    """Metrics of one fleet. ``errors`` is the fraction of its requests that failed, 0 to 1; None without requests."""

    requests: float
    errors: float | None
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True)
class ShadowComparison:
    """A production variant and its shadow. ``share`` is percent. ``agreement`` is the fraction, 0 to 1, of equal
    answers among the copies that both answered successfully; differences are between the numbers in such answers."""

    config: str
    variant: str
    shadow: str
    share: float
    copies: float
    failed: float
    """Copies that the shadow failed to answer."""
    dropped: float
    """Copies that were dropped because too many were in flight."""
    compared: float
    agreement: float | None
    mean_difference: float | None
    largest_difference: float | None
    original: ComparedFleet
    copied: ComparedFleet


def describe_experiment(test: ShadowExperiment) -> dict[str, object]:
    """The shadow test to which a shadow variant belongs, as JSON data."""
    return {
        "name": test.name,
        "status": test.status.value,
        "reason": test.reason,
        "began_at": test.began_at and test.began_at.isoformat(),
        "end": test.end.isoformat(),
    }


async def compare_shadows(
    metrics: Metrics, endpoint: Endpoint, seconds: int, now: datetime
) -> list[ShadowComparison]:
    """Compare each running version over the last ``seconds`` whole seconds. Raises NotFound if none has a shadow."""
    start = int(now.timestamp()) - seconds
    found = []
    for id, spec in sorted(desired_state.fleets(endpoint).items()):
        if spec.mirror is None:
            continue
        names = (spec.config_name, id.variant, spec.mirror.fleet.variant)
        original, copied = (
            SeriesReader(metrics, _dimensions(endpoint.name, variant, spec.config_name), start, seconds)
            for variant in names[1:]
        )
        found.append(await _compare(names, spec.mirror.share, original, copied))
    if not found:
        raise NotFound(f"endpoint {endpoint.name} has no shadow variant; give its spec a 'shadow'")
    return found


async def _compare(
    names: tuple[str, str, str], share: int, original: SeriesReader, copied: SeriesReader
) -> ShadowComparison:
    copies, agreement = await original.spread("MirrorCopies"), await original.spread("MirrorAgreement")
    difference = await original.spread("MirrorDifference")
    largest = await original.spread("MirrorLargestDifference")
    return ShadowComparison(
        *names,
        share=share / 100,
        copies=copies.count,
        failed=copies.count - copies.total,
        dropped=await original.total("MirrorDropped"),
        compared=agreement.count,
        agreement=agreement.mean,
        mean_difference=difference.mean,
        largest_difference=largest.high if largest.count else None,
        original=await _read_fleet(original),
        copied=await _read_fleet(copied),
    )


async def _read_fleet(fleet: SeriesReader) -> ComparedFleet:
    requests, latencies = await fleet.total("Invocations"), await fleet.bins("ModelLatency")
    failed = await fleet.total("InvocationModelErrors")
    return ComparedFleet(
        requests=requests,
        errors=failed / requests if requests else None,
        p50_ms=percentile_milliseconds(latencies, 50),
        p99_ms=percentile_milliseconds(latencies, 99),
    )


def _dimensions(endpoint: str, variant: str, config: str) -> tuple[tuple[str, str], ...]:
    named = {"EndpointName": endpoint, "VariantName": variant, "EndpointConfigName": config}
    return tuple(sorted(named.items()))


async def describe_shadows(gateway: Gateway, request: Request) -> Response:
    """Compare production and shadow variants over the last ``seconds``, an hour by default."""
    seconds = parse_number(request, "seconds", 3_600, 1, MAX_COMPARISON)
    context, name, now = gateway.context, parse_endpoint_name(request), gateway.context.clock.now()
    endpoint, test = await context.store.read(
        lambda tx: (endpoints.get_endpoint(tx, name).body, find_of_endpoint(tx, name))
    )
    found = await compare_shadows(context.metrics, endpoint, seconds, now)
    kept = str(Path(gateway.settings.state, "shadow", name))
    if endpoint.target != LOCAL:
        kept = f"in the instances on target {endpoint.target}"
    comparisons = [asdict(one) for one in found]
    experiment = describe_experiment(test) if test is not None and not test.ended else None
    return JSONResponse({"seconds": seconds, "kept": kept, "experiment": experiment, "comparisons": comparisons})
