"""The runner of a pod says in one line why it cannot start."""

from pathlib import Path

import msgspec
import pytest

from tidegate.features.batch import pod as transform_pod

JOB = {
    "name": "j",
    "model": {"name": "m", "containers": [{"image": "i"}], "created_at": "2026-03-01T00:00:00Z"},
    "source": {"uri": "s3://data/in/"},
    "sink": {"uri": "s3://data/out"},
    "created_at": "2026-03-01T00:00:00Z",
}


def start(folder: Path, url: str | None) -> list[str]:
    if url is not None:
        (folder / "url").write_text(f"{url}\n")
    given = {
        "file": {"job": JOB, "replicas": "/", "built_in": True},
        "database_file": str(folder / "url"),
        "database_timeout": 2,
        "ended": str(folder / "ended"),
    }
    (folder / "runner.json").write_bytes(msgspec.json.encode(given))
    return [str(folder / "runner.json")]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "no database URL in"),
        ("postgresql://nobody:hunter2@127.0.0.1:1/none", "database"),
        ("mysql://somewhere/else", "is not supported"),
    ],
)
def test_a_database_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str | None, words: str
) -> None:
    assert transform_pod.main(start(tmp_path, url)) == 2
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1 and "hunter2" not in told
    assert not (tmp_path / "ended").exists()


def test_a_start_file_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runner.json"
    path.write_text("{}")
    assert transform_pod.main([str(path)]) == 2
    assert "cannot be read as the start of a runner" in capsys.readouterr().err
    assert transform_pod.main([]) == 2


def test_errors_of_the_database_have_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(*_: object) -> int:
        raise ExceptionGroup("lanes", [ExceptionGroup("lane", [RuntimeError("null value\n[parameters: ...]")])])

    monkeypatch.setattr(transform_pod, "run", run)
    assert transform_pod.main(start(tmp_path, "postgresql://x")) == 2
    assert capsys.readouterr().err == "tidegate transform: null value\n"
