"""One folder, one name, one owner."""

from pathlib import Path

import pytest

from tidegate.domain.errors import StartupError
from tidegate.host.state_folder import StateFolder


def test_a_link_to_a_folder_is_the_folder(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    first = StateFolder.take(link)
    sockets = first.sockets
    with pytest.raises(StartupError, match="in use by another tidegate"):
        StateFolder.take(real)
    first.release()
    second = StateFolder.take(real)
    assert second.sockets == sockets, "the workers are found again, however the folder is reached"
    second.release()


def test_an_owner_that_has_not_said_who_it_is_is_unknown(tmp_path: Path) -> None:
    first = StateFolder.take(tmp_path / "state")
    (tmp_path / "state" / "tidegate.pid").unlink()
    with pytest.raises(StartupError, match="pid unknown"):
        StateFolder.take(tmp_path / "state")
    first.release()


def test_a_release_takes_the_sockets_folder_away_once_it_is_empty(tmp_path: Path) -> None:
    folder = StateFolder.take(tmp_path / "state")
    sockets = folder.sockets
    (sockets / "r-1.sock").touch()
    folder.release()
    assert sockets.exists(), "somebody's socket is in it"
    folder = StateFolder.take(tmp_path / "state")
    (folder.sockets / "r-1.sock").unlink()
    folder.release()
    assert not sockets.exists()
