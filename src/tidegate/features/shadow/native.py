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
from tidegate.gateway.live import SeriesValues, percentile_milliseconds, read_series
from tidegate.gateway.request_parsing import parse_endpoint_name, parse_number
from tidegate.ports.metrics import Metrics
from tidegate.rollout import desired_state
from tidegate.service import endpoints

MAX_COMPARISON = 14 * 86_400
"""Seconds."""
_NAMES = (
    "Invocations",
    "InvocationModelErrors",
    "ModelLatency",
    "MirrorCopies",
    "MirrorDropped",
    "MirrorAgreement",
    "MirrorDifference",
    "MirrorLargestDifference",
)


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
    answers among the ``compared``: the copies that both answered successfully. Differences are between the numbers of
    ``with_numbers`` of these pairs, and None if no pair has numbers to compare. All figures are of one moment."""

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
    with_numbers: float
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
    mirrored = [
        (id.variant, spec.config_name, spec.mirror)
        for id, spec in sorted(desired_state.fleets(endpoint).items())
        if spec.mirror is not None
    ]
    if not mirrored:
        raise NotFound(f"endpoint {endpoint.name} has no shadow variant; give its spec a 'shadow'")
    fleets = [
        _dimensions(endpoint.name, name, config)
        for variant, config, mirror in mirrored
        for name in (variant, mirror.fleet.variant)
    ]
    start = int(now.timestamp()) - seconds
    read = iter(await read_series(metrics, fleets, _NAMES, start, seconds))
    return [
        _compare((config, variant, mirror.fleet.variant), mirror.share, next(read), next(read))
        for variant, config, mirror in mirrored
    ]


def _compare(
    names: tuple[str, str, str], share: int, original: SeriesValues, copied: SeriesValues
) -> ShadowComparison:
    copies, agreement = original.spread("MirrorCopies"), original.spread("MirrorAgreement")
    difference, largest = original.spread("MirrorDifference"), original.spread("MirrorLargestDifference")
    return ShadowComparison(
        *names,
        share=share / 100,
        copies=copies.count,
        failed=copies.count - copies.total,
        dropped=original.total("MirrorDropped"),
        compared=agreement.count,
        agreement=agreement.mean,
        with_numbers=difference.count,
        mean_difference=difference.mean,
        largest_difference=largest.high if largest.count else None,
        original=_describe_fleet(original),
        copied=_describe_fleet(copied),
    )


def _describe_fleet(fleet: SeriesValues) -> ComparedFleet:
    requests, latencies = fleet.total("Invocations"), fleet.bins("ModelLatency")
    return ComparedFleet(
        requests=requests,
        errors=fleet.total("InvocationModelErrors") / requests if requests else None,
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
