"""Bills of SageMaker instances: real-time endpoints, asynchronous ones, batch transform, and what really ran."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.domain.errors import Invalid
from tidegate.features.cost.bill import Bill, BillLine, Tariff, bill
from tidegate.features.cost.errors import above, at_least, in_range
from tidegate.features.cost.extras import NOTHING, Extras, hosting, objects
from tidegate.features.cost.fleet import SCALE_IN, ScalingBounds, fleet, instances, shortage
from tidegate.features.cost.traffic import SECONDS, Load
from tidegate.prices import HOSTING


def real_time(tariff: Tariff, instance: str, scaling: ScalingBounds, load: Load, extras: Extras = NOTHING) -> Bill:
    """Price a real-time endpoint: the minimum at all hours, and what each peak adds to it."""
    rate = tariff.hosting(instance)
    made = fleet(load, scaling)
    lines = [
        *instances(HOSTING + instance, rate, scaling, load, made),
        *hosting(tariff, extras, load.requests, made.hours),
    ]
    return bill(lines, load.hours, shortage(scaling, load, made))


@dataclass(frozen=True)
class RequestWork:
    """The work of a request: it takes ``seconds``, and an instance works on ``at_once`` of them together."""

    seconds: float
    at_once: int = 1

    def __post_init__(self) -> None:
        above("seconds of one request", self.seconds, 0)
        in_range("seconds of one request", self.seconds, 0, 86_400)
        in_range("requests at once in one instance", self.at_once, 1, 10_000)

    @property
    def hours(self) -> float:
        """Instance-hours of one request."""
        return self.seconds / self.at_once / SECONDS


def asynchronous(
    tariff: Tariff,
    instance: str,
    work: RequestWork,
    scaling: tuple[int, int],
    load: Load,
    extras: Extras = NOTHING,
) -> Bill:
    """Price an asynchronous endpoint of ``scaling`` (least, most) instances, 0 allowed, which go with the backlog.

    Hour by hour, up to ``most`` instances work on the requests that wait and those that come. An hour with few
    requests pays for each of them until the instance is scaled in again, ``SCALE_IN`` hours after, and never more
    than the whole hour. Requests that wait at the end of the year are worked off and paid.
    """
    least, most = scaling
    in_range("instances at least", least, 0, 100_000)
    in_range("instances at most", most, max(1, least), 100_000)
    rate = tariff.hosting(instance)
    up, waits, longest = 0.0, 0.0, 0.0
    for mean in load.mean:
        coming = mean * SECONDS
        waits += coming * work.hours
        used = min(waits, float(most))
        waits -= used
        longest = max(longest, waits / most)
        # Instances are whole, so an hour's work is that of ceil(used) of them at most.
        alone = min(float(math.ceil(used)), coming * (work.hours + SCALE_IN))
        up += max(float(least), used, alone)
    up += waits
    warnings = []
    if longest > 1:
        warnings.append(f"at its longest the queue holds {longest:,.0f} hours of work for {most} instances")
    busy = load.requests * work.hours
    why = f"{busy:,.0f} h of work a year, the rest is the wait until instances are scaled in to {least}"
    lines = [
        BillLine(HOSTING + instance, up, rate, why),
        *hosting(tariff, extras, 0.0, up),
        *objects(tariff, extras, load.requests, load.requests),
    ]
    return bill(lines, load.hours, warnings)


@dataclass(frozen=True)
class BatchJob:
    """A batch transform job that runs ``runs`` times a year on ``instances`` at once."""

    records: float
    runs: float
    instances: int = 1
    startup: float = 240.0
    """Seconds until an instance has the model and works; they are paid."""
    records_per_object: float = 1000.0
    """Records in one request, and so in one object of input."""

    def __post_init__(self) -> None:
        in_range("records of a job", self.records, 0, 1e12)
        in_range("jobs a year", self.runs, 0, 1e6)
        in_range("instances of a job", self.instances, 1, 100)
        in_range("seconds until a job works", self.startup, 0, 86_400)
        above("records of an object", self.records_per_object, 0)

    def hours(self, work: RequestWork) -> float:
        """Return the hours that one run takes."""
        return self.startup / SECONDS + self.records * work.hours / self.instances


def batch(
    tariff: Tariff,
    instance: str,
    job: BatchJob,
    work: RequestWork,
    *,
    hours: float = 8760.0,
    extras: Extras = NOTHING,
) -> Bill:
    """Price batch transform over a year. Its rate is taken to be that of hosting, as in AWS's list."""
    rate = tariff.hosting(instance)
    each = job.hours(work)
    why = (
        f"{job.runs:g} jobs a year of {job.records:,.0f} records: {each * 60:,.1f} minutes on "
        f"{job.instances} {'instance' if job.instances == 1 else 'instances'}, {job.startup / 60:g} of them to start"
    )
    files = job.runs * math.ceil(job.records / job.records_per_object)
    lines = [
        BillLine(HOSTING + instance, job.runs * each * job.instances, rate, why),
        *objects(tariff, extras, files, job.runs * job.records),
    ]
    # Runs beyond what fits one after the other are jobs side by side: the same instance-hours.
    return bill(lines, hours)


def ran(tariff: Tariff, instance: str, counts: Sequence[tuple[float, int]], until: float) -> Bill:
    """Price the instances that really ran: ``counts`` are (second, instances from then on) in order, up to ``until``.

    Billed by the second. The bill's period is that of the run. Raises Invalid for seconds that run backwards.
    """
    if not counts:
        raise Invalid("what ran: no counts of instances; expected (second, instances) pairs")
    total = 0.0
    for (at, count), (end, _) in zip(counts, [*counts[1:], (until, 0)], strict=True):
        if end < at:
            raise Invalid(f"what ran: second {end:g} comes after {at:g} in the list")
        at_least("what ran: instances", count, 0)
        total += count * (end - at)
    period = (until - counts[0][0]) / SECONDS
    above("what ran: hours", period, 0)
    line = BillLine(HOSTING + instance, total / SECONDS, tariff.hosting(instance), f"what ran in {period:,.2f} h")
    return bill([line], period)
