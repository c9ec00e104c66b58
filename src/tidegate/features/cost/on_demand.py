"""Bills by the request: SageMaker serverless endpoints and Lambda functions."""

from collections.abc import Iterator
from dataclasses import dataclass

from tidegate.features.cost.bill import Bill, BillLine, Tariff, bill
from tidegate.features.cost.errors import above, in_range
from tidegate.features.cost.extras import NOTHING, Extras, alarms, data
from tidegate.features.cost.traffic import SECONDS, Load

SERVERLESS, LAMBDA = "sagemaker-serverless", "lambda"


@dataclass(frozen=True)
class OnDemandUsage:
    """``memory_gb`` for each request that is in hand, for ``seconds``; ``provisioned`` of them are kept warm and
    paid at all times, and requests that fit in there cost less."""

    memory_gb: float
    seconds: float
    provisioned: int = 0

    def __post_init__(self) -> None:
        above("memory", self.memory_gb, 0)
        in_range("memory (GB)", self.memory_gb, 0, 64)
        above("seconds of one request", self.seconds, 0)
        in_range("seconds of one request", self.seconds, 0, 900)
        in_range("provisioned concurrency", self.provisioned, 0, 10_000)


def serverless(tariff: Tariff, what: OnDemandUsage, load: Load, extras: Extras = NOTHING) -> Bill:
    """A serverless endpoint. Idle hours cost nothing, unless something is provisioned."""
    lines = [
        *_by_duration(tariff, SERVERLESS, what, load),
        *data(tariff, extras, load.requests),
        alarms(tariff, extras),
    ]
    return bill(lines, load.hours, _too_large(what, 6, "SageMaker's serverless endpoints"))


def function(tariff: Tariff, what: OnDemandUsage, load: Load, extras: Extras = NOTHING) -> Bill:
    """A Lambda function. The free tier is left out."""
    lines = [
        *_by_duration(tariff, LAMBDA, what, load),
        tariff.line("lambda/requests", load.requests / 1e6, f"{load.requests:,.0f} requests a year"),
        alarms(tariff, extras),
    ]
    return bill(lines, load.hours, _too_large(what, 10.24, "Lambda"))


def _too_large(what: OnDemandUsage, most: float, who: str) -> list[str]:
    return [f"{who} have at most {most:g} GB, not {what.memory_gb:g}"] if what.memory_gb > most else []


def _by_duration(tariff: Tariff, service: str, what: OnDemandUsage, load: Load) -> Iterator[BillLine]:
    warm = _warm_seconds(what, load)
    cold = max(0.0, load.requests * what.seconds - warm)
    each = f"{what.memory_gb:g} GB for {what.seconds * 1000:g} ms"
    why = f"{load.requests:,.0f} requests a year, {each} each" + (", beyond what is kept warm" if warm else "")
    yield tariff.line(f"{service}/gb-second", cold * what.memory_gb, why)
    why = f"requests on what is kept warm, {each} each"
    yield tariff.line(f"{service}/provisioned-run-gb-second", warm * what.memory_gb, why)
    kept = what.provisioned * what.memory_gb * load.seconds
    yield tariff.line(f"{service}/provisioned-gb-second", kept, f"{what.provisioned} kept warm at all times")


def _warm_seconds(what: OnDemandUsage, load: Load) -> float:
    """Seconds of requests that the provisioned ones take: in an hour, as many at one time as there are of them."""
    if not what.provisioned:
        return 0.0
    most = float(what.provisioned)
    return sum(min(rate * what.seconds, most) for rate in load.mean) * SECONDS
