"""Devices: what the setting says, what an instance type has, and who gets which."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tidegate.domain.devices import (
    Assignments,
    Device,
    Holder,
    check_room,
    count_asked,
    count_of_type,
    select_visible,
)
from tidegate.domain.errors import StartupError, TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec, VariantSpec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.prices.price_catalogue import Catalogue
from tidegate.settings import Settings

MODEL = Model("m", (ContainerDefinition("test/program"),), datetime(2026, 1, 1, tzinfo=UTC))
FOUR = tuple(Device(f"GPU-{number}a") for number in range(4))


def fleet(name: str, count: int, devices: int, kind: str = "local") -> FleetSpec:
    variant = VariantSpec("main", MODEL, count, devices=devices, instance_type=kind)
    return FleetSpec(FleetId(name, 1, "main"), "c", variant, count)


def test_the_setting_names_devices_with_their_memory() -> None:
    settings = Settings.from_environment({"TIDEGATE_DEVICES": "gpu0=24GiB, gpu1=512MiB"})
    assert settings.devices == (Device("gpu0", 24 * 2**30), Device("gpu1", 2**29))
    assert [str(one) for one in settings.devices] == ["gpu0 (24 GiB)", "gpu1 (512 MiB)"]
    assert str(Device("GPU-1", 0, "NVIDIA X")) == "GPU-1 (NVIDIA X)" and str(Device("GPU-1")) == "GPU-1"
    assert Settings.from_environment({"TIDEGATE_DEVICES": "none"}).devices == ()
    assert Settings.from_environment({}).devices is None


@pytest.mark.parametrize("text", ["gpu0", "=1GiB", "gpu0=", "a=1GiB,a=1GiB", ",", "a b=1GiB", "a=-1", "a=nan"])
def test_a_setting_that_names_no_devices_is_refused(text: str) -> None:
    with pytest.raises(StartupError, match="TIDEGATE_DEVICES"):
        Settings.from_environment({"TIDEGATE_DEVICES": text})


@pytest.mark.parametrize(
    ("visible", "left"),
    [
        (None, [0, 1, 2, 3]),
        ("", []),
        ("2,0", [2, 0]),
        ("GPU-1a", [1]),
        ("0,7,1", [0]),
        ("GPU-", []),
        ("1,1", [1]),
        ("-1", []),
        ("MIG-x", []),
    ],
)
def test_the_server_gives_away_what_it_may_use_itself(visible: str | None, left: list[int]) -> None:
    assert select_visible(FOUR, visible) == tuple(FOUR[number] for number in left)


def test_instance_types_have_the_devices_that_the_price_list_knows() -> None:
    types = Catalogue.load().instances()
    gpus = {one.name: one.accelerators for one in types if one.kind == "gpu"}
    assert len(gpus) > 20
    assert {name: count_of_type(name) for name in gpus} == gpus
    assert not any(count_of_type(one.name) for one in types if one.name not in gpus)


def test_an_instance_type_counts_only_where_it_is_followed() -> None:
    variant = fleet("a", 1, 0, "ml.g5.12xlarge").variant
    assert (count_asked(variant, False), count_asked(variant, True)) == (0, 4)
    assert count_asked(replace(variant, devices=1), True) == 1


def test_a_fleet_for_which_there_is_no_room_is_refused_in_one_line() -> None:
    other = fleet("score", 1, 1)
    check_room(fleet("fraud", 1, 1), [other], 2, False)
    with pytest.raises(TargetRefused) as refused:
        check_room(fleet("fraud", 2, 1), [other], 2, False)
    assert str(refused.value) == (
        "fleet fraud/1/main asks for 2 devices, 1 of 2 are free (score/1/main has 1): ask for fewer, or end what has"
        " them"
    )


def test_a_fleet_that_does_not_grow_is_not_refused() -> None:
    """A device that fails must not make every later look at its fleet a refusal."""
    standing = fleet("fraud", 2, 1)
    check_room(standing, [standing, fleet("score", 1, 1)], 1, False)
    with pytest.raises(TargetRefused):
        check_room(replace(standing, count=3), [standing], 2, False)


def test_a_replica_gets_all_of_its_devices_or_none() -> None:
    assigned = Assignments(FOUR[:2])
    first, second = (Holder(FleetId("fraud", 1, "main"), name) for name in ("r-1", "r-2"))
    assert assigned.take(first, 1) == ("GPU-0a",)
    with pytest.raises(TargetRefused, match=r"r-2 of fraud/1/main asks for 2 devices, 1 of 2 are free \(fraud/1"):
        assigned.take(second, 2)
    assert assigned.free == ("GPU-1a",)
    assigned.release("r-1")
    assigned.release("r-1")
    assert assigned.take(second, 2) == ("GPU-0a", "GPU-1a")


def test_what_another_replica_has_cannot_be_adopted() -> None:
    assigned = Assignments(FOUR[:2])
    one, other = (Holder(FleetId("fraud", 1, "main"), name) for name in ("r-1", "r-2"))
    assert assigned.adopt(one, ["GPU-0a", "GPU-gone"])
    assert not assigned.adopt(other, ["GPU-1a", "GPU-0a"])
    assert assigned.free == ()  # it runs, and has the other one
    assert assigned.of("r-2") == ("GPU-1a",) and assigned.of("r-1") == ("GPU-0a", "GPU-gone")
    assert assigned.held["GPU-gone"] == one
