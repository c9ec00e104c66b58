"""Compares an endpoint's shadow variants with its production variants on the same requests."""

from dataclasses import dataclass
from datetime import datetime

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import NotFound
from tidegate.domain.experiment import ShadowExperiment
from tidegate.gateway.live import SeriesReader, percentile_milliseconds
from tidegate.ports.metrics import Metrics
from tidegate.rollout import desired_state


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
