"""PyTorch models of both kinds: how they are scored, what they refuse and what is no model."""

import io
import logging
import pickle
import shutil
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from tests.worker_process import PATIENCE, Workers, request, workers
from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.formats.tensors import Tensors
from tidegate.serving.runtimes import load, pytorch
from tidegate.serving.runtimes.tabular_scorer import TabularScorer

pytestmark = pytest.mark.slow

__all__ = ["workers"]

TRUST = {"TIDEGATE_TRUST": "pickle"}
ROWS = [[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]]


class Classes(torch.nn.Module):  # type: ignore[misc]
    """Three columns to two probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(3, 4)
        self.last = torch.nn.Linear(4, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.last(torch.relu(self.first(rows))), 1)


class Picky(torch.nn.Module):  # type: ignore[misc]
    """Negative first columns are an error."""

    def __init__(self) -> None:
        super().__init__()
        self.only = torch.nn.Linear(3, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if bool((rows[:, 0] < 0).any()):
            raise ValueError("the amount is negative")
        return self.only(rows)


class Ranks(torch.nn.Module):  # type: ignore[misc]
    """What a row gets depends on the others."""

    def __init__(self) -> None:
        super().__init__()
        self.only = torch.nn.Linear(3, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.only(rows) - self.only(rows).mean()


class Pictures(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 3)

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.conv(pixels)
        return {"largest": found.amax(dim=(1, 2, 3)), "mean": found.mean(dim=(2, 3))}


class Both(torch.nn.Module):  # type: ignore[misc]
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return left + right, left - right


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per model."""
    torch.manual_seed(3)
    top = tmp_path_factory.mktemp("pytorch")
    scripts: dict[str, torch.nn.Module] = {
        "classes": Classes(),
        "picky": Picky(),
        "ranks": Ranks(),
        "both": Both(),
    }
    for name, model in scripts.items():
        (top / name).mkdir()
        torch.jit.script(model.eval()).save(str(top / name / "model.pt"))
    (top / "pictures").mkdir()
    example = torch.zeros(1, 1, 5, 5)
    torch.jit.trace(Pictures().eval(), example, strict=False).save(str(top / "pictures" / "model.ts"))
    return top


@pytest.fixture(scope="module")
def exported(made: Path) -> Path:
    """The same model as in classes, as a program."""
    (made / "exported").mkdir()
    twin = Classes()
    twin.load_state_dict(torch.jit.load(str(made / "classes" / "model.pt")).state_dict())
    program = torch.export.export(twin.eval(), (torch.zeros(2, 3),), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, str(made / "exported" / "model.pt2"))
    return made / "exported"


def expected(made: Path) -> Any:
    return torch.jit.load(str(made / "classes" / "model.pt"))(torch.tensor(ROWS)).detach().numpy()


def npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def ask(model: Tensors, body: object, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    answer = model.answer(Call(data, named))
    assert isinstance(answer, Answer)
    if answer.content_type != "application/json":
        return answer.body
    return msgspec.json.decode(answer.body)["predictions"]


def refused(ask: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(ModelFailed) as caught:
        ask()
    return caught.value.status, caught.value.message


def test_tables_of_both_kinds_score_alike_and_together(made: Path, exported: Path) -> None:
    for folder in (made / "classes", exported):
        table = pytorch.load(folder, TRUST)
        assert isinstance(table, TabularScorer) and table.batches
        json = {b"content-type": b"application/json"}
        found = np.concatenate(table.score([table.parse(Call(msgspec.json.encode([row]), json)) for row in ROWS]))
        np.testing.assert_allclose(found, expected(made), rtol=1e-5)
        assert refused(partial(table.parse, Call(b"1,2", {}))) == (400, "Row 1 has 2 columns; the model takes 3.")


def test_a_model_whose_rows_know_each_other_is_never_batched(made: Path) -> None:
    table = pytorch.load(made / "ranks", {})
    assert isinstance(table, TabularScorer) and not table.batches


def test_tensors_of_any_shape(made: Path) -> None:
    model = pytorch.load(made / "pictures", {})
    assert isinstance(model, Tensors)
    pixels = np.random.default_rng(1).normal(size=(2, 1, 6, 5)).astype(np.float32)
    by_json = ask(model, {"inputs": pixels.tolist()})
    assert np.shape(by_json["mean"]) == (2, 2) and len(by_json["largest"]) == 2
    by_npy = ask(model, npy(pixels), content_type="application/x-npy", accept="application/json")
    assert by_npy == by_json
    status, message = refused(lambda: ask(model, {"inputs": [[1.0]]}))
    assert status == 400 and message.startswith("The model refuses this: Expected 4-dim")
    assert refused(lambda: ask(model, {"inputs": [[1.0], [2.0, 3.0]]})) == (
        400,
        "pixels must be lists of numbers of one length each.",
    )
    assert refused(lambda: ask(model, {"inputs": [["1"]]}))[0] == 400
    assert refused(lambda: ask(model, b"\x93NUMPY", content_type="application/x-npy"))[0] == 400
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}], dtype=object))
    status, message = refused(lambda: ask(model, pickled.getvalue(), content_type="application/x-npy"))
    assert (status, message) == (400, "The npy array has values of type object; send numbers.")
    assert refused(lambda: ask(model, b"1,2", content_type="text/csv"))[0] == 415


def test_several_inputs_and_outputs(made: Path) -> None:
    model = pytorch.load(made / "both", {})
    assert isinstance(model, Tensors)
    assert ask(model, {"inputs": {"right": [1], "left": [5]}}) == [[6.0], [4.0]]
    assert refused(lambda: ask(model, {"inputs": {"left": [1]}})) == (400, "The inputs have no 'right'.")
    assert refused(lambda: ask(model, [[1, 2]]))[1] == (
        "The model has 2 inputs: left, right; send a JSON object of them."
    )


def test_declared_shapes_are_checked(tmp_path: Path) -> None:
    program = torch.export.export(Classes().eval(), (torch.zeros(2, 3),))
    torch.export.save(program, str(tmp_path / "model.pt2"))
    model = pytorch.load(tmp_path, TRUST)
    assert isinstance(model, Tensors)
    assert np.shape(ask(model, ROWS)) == (2, 2)
    assert refused(lambda: ask(model, ROWS[:1])) == (400, "rows has the shape 1x3; the model takes 2x3.")


# --- what is no model ---


def told(folder: Path, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ArtifactError) as caught:
        load(RuntimeKind.PYTORCH, folder, environment or {})
    assert "\n" not in caught.value.message
    return caught.value.message


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    torch.save(Classes().state_dict(), tmp_path / "model.pth")
    assert told(tmp_path).startswith(
        "model.pth is a state dict or a pickled module, not TorchScript; save the model"
    )

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "model.pth").write_bytes(pickle.dumps(Bomb()))
    assert told(tmp_path, TRUST).startswith("model.pth is a pickle of PyTorch's old format; save the model with")
    torch.save(Bomb(), tmp_path / "model.pth")
    assert "is a state dict or a pickled module" in told(tmp_path, TRUST)
    (tmp_path / "model.pth").rename(tmp_path / "model.pt2")
    assert told(tmp_path).startswith("model.pt2 is read by torch.export.load, which may unpickle;")
    assert not (tmp_path / "ran").exists()


class Reader(torch.nn.Module):  # type: ignore[misc]
    """Gives a file away."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.from_file("/etc/hostname", False, 4, dtype=torch.uint8)


def test_a_script_that_reaches_files_needs_trust(made: Path, tmp_path: Path) -> None:
    torch.jit.script(Reader()).save(str(tmp_path / "model.pt"))
    assert told(tmp_path).startswith("model.pt uses from_file, by which it can read or write files; leave it out")
    assert isinstance(pytorch.load(tmp_path, TRUST), Tensors)


def test_a_script_with_a_second_file_of_one_name_is_refused(made: Path, tmp_path: Path) -> None:
    shutil.copy(made / "picky" / "model.pt", tmp_path)
    with zipfile.ZipFile(tmp_path / "model.pt", "a") as archive:
        [code, *_] = [name for name in archive.namelist() if name.endswith(".py")]
        archive.writestr(code.upper(), "")
    assert told(tmp_path) == "model.pt is not a whole TorchScript model: it holds two files of one name"


def test_cut_files(made: Path, exported: Path, tmp_path: Path) -> None:
    logging.getLogger("torch.export").setLevel(logging.CRITICAL)
    for source, words in (
        (made / "classes" / "model.pt", "is not a whole TorchScript model: "),
        (exported / "model.pt2", "is not a whole program of torch.export: "),
    ):
        data = source.read_bytes()
        for length in (0, 1, len(data) // 2, len(data) - 30):
            (tmp_path / source.name).write_bytes(data[:length])
            assert told(tmp_path, TRUST).startswith(f"{source.name} {words}")
        (tmp_path / source.name).unlink()
    shutil.copy(exported / "model.pt2", tmp_path / "model.pt")
    assert told(tmp_path) == "model.pt is a program of torch.export; call the file .pt2"


# --- in a worker ---


def test_a_worker_scores_and_one_bad_row_fails_alone(workers: Workers, made: Path) -> None:
    worker = workers.start(RuntimeChoice(RuntimeKind.PYTORCH), made / "picky" / "model.pt")
    kind = {"content-type": "application/json"}

    async def main() -> None:
        await worker.ready()
        connections = [await worker.connect() for _ in range(3)]
        bodies = [b"[[1,2,3]]", b"[[-1,2,3]]", b"[[2,2,3]]"]
        for connection, body in zip(connections, bodies, strict=True):
            connection.send(request("/invocations", body, kind))
        good, bad, other = [await connection.receive() for connection in connections]
        assert (good.status, other.status) == (200, 200)
        assert bad.json()["OriginalStatusCode"] == 400
        assert "the amount is negative" in str(bad.json()["OriginalMessage"])
        wide = await worker.ask(body=b"[[1,2]]", headers=kind)
        assert wide.json()["OriginalMessage"] == "Row 1 has 2 columns; the model takes 3."

    workers.run(main())


class Shifts(torch.nn.Module):  # type: ignore[misc]
    """A row after one of 31415 gets one more, which no trial at load shows."""

    def __init__(self) -> None:
        super().__init__()
        self.only = torch.nn.Linear(3, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        before = torch.nn.functional.pad(rows, (0, 0, 1, 0))[:-1]
        return self.only(rows) + torch.where((before[:, :1] - 31415).abs() < 1, 1.0, 0.0)


def test_a_worker_whose_model_mixes_rows_says_so_and_stops_batching(workers: Workers, tmp_path: Path) -> None:
    torch.jit.script(Shifts().eval()).save(str(tmp_path / "model.pt"))
    worker = workers.start(RuntimeChoice(RuntimeKind.PYTORCH), tmp_path / "model.pt")
    kind = {"content-type": "application/json"}
    row = torch.full((1, 3), 31415.0)
    alone = torch.jit.load(str(tmp_path / "model.pt"))(row).item()

    async def noted() -> bool:
        seconds: Any = (await worker.ask("/_tidegate/stats")).json()["seconds"]
        names = [series["name"] for second in seconds for series in second["series"]]
        return "BatchingMismatches" in names

    async def main() -> None:
        await worker.ready()
        connections = [await worker.connect() for _ in range(8)]
        deadline = time.monotonic() + PATIENCE
        while not await noted():
            assert time.monotonic() < deadline, worker.log
            for connection in connections:
                connection.send(request("/invocations", b"[[31415,31415,31415]]", kind))
            for connection in connections:
                assert (await connection.receive()).json()["predictions"] == pytest.approx([alone], rel=1e-5)

    workers.run(main())
    assert "each request is scored alone from now on" in worker.log


def test_a_worker_with_a_state_dict_says_what_to_do(workers: Workers, tmp_path: Path) -> None:
    torch.save(Classes().state_dict(), tmp_path / "model.pt")
    worker = workers.start(RuntimeChoice(RuntimeKind.PYTORCH), tmp_path / "model.pt")
    assert worker.wait() == 3
    assert worker.failure.permanent and "torch.jit.script(model).save(...)" in worker.failure.message
