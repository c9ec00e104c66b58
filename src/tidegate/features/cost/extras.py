"""The costs beside the instances: data in and out, volumes, alarms, objects in S3."""

from collections.abc import Iterator
from dataclasses import dataclass

from tidegate.features.cost.bill import GB, MONTHS, BillLine, Tariff
from tidegate.features.cost.errors import at_least, in_range

LCU_BYTES = 1e9
"""Bytes an hour through a load balancer that make one capacity unit (LCU); with requests of kilobytes on kept-alive
connections it is the bytes that count, and its other measures (25 new connections a second) do not."""


@dataclass(frozen=True)
class Extras:
    """The quantities that are paid for beside instances: ``bytes_in`` and ``bytes_out`` of one request;
    ``volume_gib`` of storage at each instance, 0 where the instance brings its own; ``alarms`` watched all the time;
    ``keep_days`` that S3 objects of queued work stay."""

    bytes_in: float = 0.0
    bytes_out: float = 0.0
    volume_gib: float = 0.0
    alarms: int = 0
    keep_days: float = 7.0

    def __post_init__(self) -> None:
        in_range("bytes in", self.bytes_in, 0, 1e12)
        in_range("bytes out", self.bytes_out, 0, 1e12)
        in_range("volume", self.volume_gib, 0, 16_384)
        in_range("alarms", self.alarms, 0, 10_000)
        in_range("days that objects are kept", self.keep_days, 0, 36_500)


NOTHING = Extras()


def hosting(tariff: Tariff, extras: Extras, requests: float, instance_hours: float = 0.0) -> Iterator[BillLine]:
    """Yield the lines of data, volumes and alarms of a SageMaker endpoint over a year."""
    yield from data(tariff, extras, requests)
    # A GB-month is a gigabyte for a twelfth of a year, 730 hours.
    months = extras.volume_gib * instance_hours / 730
    yield tariff.line(
        "sagemaker-storage/gb-month", months, f"a volume of {extras.volume_gib:g} GB at each instance"
    )
    yield alarms(tariff, extras)


def data(tariff: Tariff, extras: Extras, requests: float) -> Iterator[BillLine]:
    """Yield the lines of the bytes that go in and out of a SageMaker endpoint."""
    for way, size in (("in", extras.bytes_in), ("out", extras.bytes_out)):
        why = f"{requests:,.0f} requests a year of {size:g} bytes {way}"
        yield tariff.line(f"sagemaker-data/{way}", requests * size / GB, why)


def alarms(tariff: Tariff, extras: Extras) -> BillLine:
    why = f"{extras.alarms} {'alarm' if extras.alarms == 1 else 'alarms'} at all times"
    return tariff.line("cloudwatch/alarm-month", extras.alarms * MONTHS, why)


def objects(tariff: Tariff, extras: Extras, files: float, requests: float) -> Iterator[BillLine]:
    """Yield the lines of inputs and outputs in S3: an object of each is written and read for each of ``files``, and
    the bytes of all ``requests`` are kept for some days."""
    at_least("files", files, 0)
    at_least("requests", requests, 0)
    yield tariff.line("s3/put", 2 * files / 1000, f"an input and an output written, {files:,.0f} times a year")
    yield tariff.line("s3/get", 2 * files / 1000, f"an input and an output read, {files:,.0f} times a year")
    kept = requests * (extras.bytes_in + extras.bytes_out) / GB * extras.keep_days / (365 / MONTHS)
    yield tariff.line("s3/gb-month", kept, f"inputs and outputs kept for {extras.keep_days:g} days")


def balancer(tariff: Tariff, extras: Extras, requests: float, hours: float) -> Iterator[BillLine]:
    """Yield the lines of a load balancer before tasks or nodes."""
    yield tariff.line("alb/hour", hours, "a load balancer at all hours")
    units = requests * (extras.bytes_in + extras.bytes_out) / LCU_BYTES
    yield tariff.line("alb/lcu-hour", units, "its capacity units, by bytes")
