"""How a controller is asked to end, and a door that it cannot open."""

from pathlib import Path

import pytest

from tidegate.compose.controller import Controller, listening
from tidegate.domain.errors import StartupError
from tidegate.host.state_folder import StateFolder
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    folder = StateFolder.take(tmp_path / "state")
    folder.release()
    return Controller(Settings(), folder, ImageTable(), signed=False)


def test_a_hang_up_leaves_what_serves(controller: Controller) -> None:
    controller.leave()
    controller.leave()
    assert controller.stopping.is_set() and not controller.drain


def test_a_hang_up_after_a_stop_comes_too_late(controller: Controller) -> None:
    """A terminal that is closed after Ctrl-C must not leave half of everything running."""
    controller.stop()
    controller.leave()
    assert controller.drain


def test_a_stop_after_a_hang_up_ends_everything(controller: Controller) -> None:
    """Signals that are sent together may arrive in any order."""
    controller.leave()
    controller.stop()
    assert controller.drain


async def test_a_door_that_cannot_be_opened_is_a_start_that_fails(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot listen on"):
        async with listening(lambda: None, tmp_path / "no such folder" / "door.sock"):
            raise AssertionError("it is not open")


async def test_a_door_is_gone_when_it_was_closed(tmp_path: Path) -> None:
    door = tmp_path / "door.sock"
    async with listening(lambda: None, door):
        assert door.exists()
    assert not door.exists()
