"""Random worlds: whatever happens, the invariants hold at every decision and every rollout ends as it should."""

from dataclasses import replace

from hypothesis import event, given, note

from tests.property import rollout_worlds as worlds
from tests.property.rollout_worlds import Setting, check
from tidegate.simulation.faults import ControllerCrash
from tidegate.simulation.world import World


def tell(world: World) -> None:
    note("\n".join(f"{e.at:10.1f} {e.command} {[x.message for x in e.events]}" for e in world.journal))
    for entry in world.journal:
        for said in entry.events:
            event(said.kind)


@given(worlds.settings(worlds.troubles), worlds.crashes)
def test_every_rollout_ends_and_keeps_the_invariants_in_every_world(
    setting: Setting, crashes: tuple[ControllerCrash, ...]
) -> None:
    tell(check(replace(setting, crashes=crashes)))


@given(worlds.settings(worlds.anything), worlds.crashes)
def test_commands_of_people_at_any_moment_keep_the_invariants(
    setting: Setting, crashes: tuple[ControllerCrash, ...]
) -> None:
    tell(check(replace(setting, crashes=crashes)))
