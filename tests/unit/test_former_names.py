"""What documented examples of version 0.1.0 import still works, with a warning that names the present place."""

import subprocess
import sys

import pytest

from tidegate.features.cost.bill import Tariff
from tidegate.host.late_import import load, load_module
from tidegate.prices import Catalogue


@pytest.mark.parametrize(
    ("module", "name", "present"),
    [
        ("tidegate.advisor.cost.bill", "Tariff", Tariff),
        ("tidegate.advisor.prices", "Catalogue", Catalogue),
    ],
)
def test_a_former_name_is_the_present_thing(module: str, name: str, present: object) -> None:
    with pytest.warns(DeprecationWarning, match="is now tidegate"):
        assert load(module, name) is present


def test_the_planner_is_what_it_was() -> None:
    with pytest.warns(DeprecationWarning):
        planner = load("tidegate.advisor", "__name__") and load_module("tidegate.advisor.planner")
    assert planner.examples() and callable(planner.plan)


def test_the_former_command_of_the_load_generator_works() -> None:
    command = [sys.executable, "-m", "tidegate.advisor.load", "--help"]
    assert "--rate" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_other_names_are_not_there() -> None:
    with pytest.raises(ModuleNotFoundError):
        load_module("tidegate.advisor.quality")
