"""What devices do becomes SageMaker's metrics, by a fake reader."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.unit.targets.local.local_harness import FLEET, spec
from tidegate.domain.devices import DeviceReading
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.metric import INSTANCES, FleetSecond, MetricId
from tidegate.service.metric_samples import samples
from tidegate.targets.collection.fleet_seconds import device_readings, merged
from tidegate.targets.collection.sources import ServingReplica

KNOWN = {"fake0": DeviceReading(80.0, 25.0), "fake1": DeviceReading(100.0, 50.0), "fake2": DeviceReading(0.0, 5.0)}


def read(names: Sequence[str]) -> Mapping[str, DeviceReading]:
    return {name: KNOWN[name] for name in names if name in KNOWN}


def nobody_asks(names: Sequence[str]) -> Mapping[str, DeviceReading]:
    raise AssertionError(names)


def blank(of: FleetSpec) -> FleetSecond:
    return FleetSecond(of.id, of.config_name, 1_795_528_010, 1)


def replica(name: str, *devices: str) -> ServingReplica:
    return ServingReplica(spec(1), name, 1, Path(name), devices)


def test_the_devices_of_a_replica_are_added_up() -> None:
    there = [replica("r-1", "fake0", "fake1"), replica("r-2", "fake2"), replica("r-3")]
    [second] = merged(device_readings(there, read, blank))
    assert (second.gpu, second.gpu_memory) == ((180.0, 0.0), (75.0, 5.0))
    made = {one.metric: one for one in samples([second])}
    whole = {"EndpointName": FLEET.endpoint, "VariantName": FLEET.variant}
    busy = made[MetricId.of(INSTANCES, "GPUUtilization", whole)]
    memory = made[MetricId.of(INSTANCES, "GPUMemoryUtilization", whole)]
    assert (busy.count, busy.total, busy.high, busy.unit) == (2, 180.0, 180.0, "Percent")
    assert (memory.count, memory.total, memory.low) == (2, 80.0, 5.0)


def test_what_cannot_be_read_has_no_value() -> None:
    there = [replica("r-1", "fake0", "gone")]
    assert device_readings(there, read, blank) == []
    assert device_readings([replica("r-2")], nobody_asks, blank) == []
