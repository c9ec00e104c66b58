"""``serve --fetch``: model data for a container beside the worker, which may run as any user."""

import io
import stat
import tarfile
from pathlib import Path

import msgspec
import pytest

from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.process import serve


def start_file(folder: Path, data: str) -> Path:
    runtime = RuntimeChoice(RuntimeKind.CONTAINER, image="fraud:1")
    container = {"runtime": runtime, "model_dir": "", "data_url": data}
    start = {"fleet": FleetId("fraud", 1, "AllTraffic"), "config_name": "c", "containers": [container]}
    path = folder / "start.json"
    path.write_bytes(msgspec.json.encode(start))
    return path


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(serve.WORK, str(tmp_path / "work"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_the_data_are_unpacked_readable_for_every_user(tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as made:
        member = tarfile.TarInfo("inner/weights.bin")
        member.size, member.mode = 3, 0o600
        made.addfile(member, io.BytesIO(b"abc"))
    assert serve.main(["--fetch", "1", str(tmp_path / "data"), str(start_file(tmp_path, archive.as_uri()))]) == 0
    file = tmp_path / "data" / "model" / "inner" / "weights.bin"
    assert file.read_bytes() == b"abc"
    assert file.stat().st_mode & stat.S_IROTH
    assert file.parent.stat().st_mode & stat.S_IXOTH


def test_data_that_do_not_exist_are_an_error_that_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = (tmp_path / "none.tar.gz").as_uri()
    assert serve.main(["--fetch", "1", str(tmp_path / "data"), str(start_file(tmp_path, missing))]) != 0
    assert "none.tar.gz" in capsys.readouterr().err


def test_other_arguments_are_refused_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["--fetch", "1"]) != 0
    assert "usage: serve [START.json], or serve --fetch NUMBER FOLDER START.json" in capsys.readouterr().err
