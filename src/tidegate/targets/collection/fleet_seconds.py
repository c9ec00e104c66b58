"""Merge the metrics of one fleet for one second, from its replicas and the proxy. Pure."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.metric import FleetSecond, Latency, WorkerSeries
from tidegate.monitoring import sketch
from tidegate.monitoring.sketch import merge_spreads
from tidegate.ports.router import PassedRequests
from tidegate.targets.collection.sources import ReadDevices, ServingReplica
from tidegate.targets.collection.stats_page import Record


def single(name: str, value: float) -> WorkerSeries:
    """Return a series of one value."""
    return WorkerSeries(name, (), Latency({sketch.index(value): 1.0}, value, value, value))


def waiting(load: PassedRequests) -> tuple[WorkerSeries, ...]:
    """Return what the proxy counted at the end of a second, as series. Zeros, and a queue time without an end, are
    left out."""
    values = {
        "QueuedRequests": float(load.queued),
        "QueueTime": 1e6 * (load.queue_time or 0.0),
        "RefusedRequests": float(load.refused),
        "ThrottledRequests": float(load.throttled),
        "PlatformUnavailable": float(load.unavailable),
    }
    return tuple(single(name, value) for name, value in values.items() if value > 0)


def billed(spec: FleetSpec, seconds: float) -> tuple[WorkerSeries, ...]:
    """Memory in GiB times the seconds of a serverless fleet; empty for any other."""
    bounds = spec.variant.serverless
    if bounds is None or seconds <= 0:
        return ()
    return (single("BilledGBSeconds", bounds.memory / 2**30 * seconds),)


def counted(blank: FleetSecond, spec: FleetSpec, record: Record) -> FleetSecond:
    """Return the second of a fleet as one replica counted it."""
    times = [spread.total if spread else 0.0 for spread in (record.latency, record.overhead)]
    return replace(
        blank,
        invocations=record.invocations,
        errors_4xx=record.errors_4xx,
        errors_5xx=record.errors_5xx,
        model_errors=record.model_errors,
        model_latency=record.latency,
        overhead_latency=record.overhead,
        series=billed(spec, max(0.0, times[0] - times[1]) / 1e6) + record.series,
        pairs=record.pairs,
        texts=record.texts,
    )


def utilized(spec: FleetSpec, in_flight: float) -> tuple[WorkerSeries, ...]:
    """The share of a serverless fleet's provisioned concurrency that is in use; empty where there is none."""
    bounds = spec.variant.serverless
    if bounds is None or not bounds.provisioned:
        return ()
    return (single("ServerlessProvisionedConcurrencyUtilization", in_flight / bounds.provisioned),)


def device_readings(
    replicas: Iterable[ServingReplica], read: ReadDevices, blank: Callable[[FleetSpec], FleetSecond]
) -> list[FleetSecond]:
    """Return the utilization of the accelerators of each replica. Those of one replica are added up, as SageMaker
    does: four of them have 400 percent at most. A replica has no value if one of its devices cannot be read."""
    holders = [one for one in replicas if one.devices]
    known = read([name for one in holders for name in one.devices]) if holders else {}
    return [
        replace(
            blank(one.fleet),
            gpu=(math.fsum(known[name].busy for name in one.devices),),
            gpu_memory=(math.fsum(known[name].memory for name in one.devices),),
        )
        for one in holders
        if all(name in known for name in one.devices)
    ]


def merged(parts: Iterable[FleetSecond]) -> Iterator[FleetSecond]:
    """Merge the records, to one per fleet and second."""
    groups: dict[tuple[FleetId, int], list[FleetSecond]] = {}
    for part in parts:
        groups.setdefault((part.fleet, part.second), []).append(part)
    for group in groups.values():
        yield replace(
            group[0],
            invocations=sum(p.invocations for p in group),
            errors_4xx=sum(p.errors_4xx for p in group),
            errors_5xx=sum(p.errors_5xx for p in group),
            model_errors=sum(p.model_errors for p in group),
            model_latency=merge_spreads([p.model_latency for p in group]),
            overhead_latency=merge_spreads([p.overhead_latency for p in group]),
            cpu=tuple(value for p in group for value in p.cpu),
            memory=tuple(value for p in group for value in p.memory),
            gpu=tuple(value for p in group for value in p.gpu),
            gpu_memory=tuple(value for p in group for value in p.gpu_memory),
            in_flight=tuple(value for p in group for value in p.in_flight),
            series=_unite([series for p in group for series in p.series]),
            pairs=tuple(pair for p in group for pair in p.pairs),
            texts=tuple(text for p in group for text in p.texts),
            dropped=sum(p.dropped for p in group),
        )


def _unite(series: Iterable[WorkerSeries]) -> tuple[WorkerSeries, ...]:
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[Latency | None]] = {}
    for one in series:
        groups.setdefault((one.name, one.dimensions), []).append(one.values)
    return tuple(WorkerSeries(*key, values) for key, parts in groups.items() if (values := merge_spreads(parts)))
