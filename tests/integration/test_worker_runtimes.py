"""Tiny real models of each runtime in a real worker, and what their loaders refuse."""

import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import lightgbm
import msgspec
import numpy as np
import onnx
import pytest
import skops.io
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from tests.worker_process import RunningWorker, Workers, workers
from tidegate.console.sample_payload import SampleRequest, describe_inputs, parse_signature
from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.environment import check_environment
from tidegate.serving.contract.images import ImageTable, resolve
from tidegate.serving.contract.replica_spec import OnDemand
from tidegate.serving.runtimes import kept_verdict, load

pytestmark = pytest.mark.slow

__all__ = ["workers"]

ROWS = np.random.default_rng(1).normal(size=(100, 3)).astype(np.float32)
VALUES = ROWS @ np.array([1, 2, 3], np.float32)
ASKED = np.array([[1, 2, 3], [0.5, -1, 2]], np.float32)


def onnx_model(path: Path, kind: int = onnx.TensorProto.FLOAT) -> list[float]:
    """Sums of rows."""
    shape = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("ReduceSum", ["rows", "axes"], ["sums"], keepdims=1)
    axes = onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [1])
    graph = onnx.helper.make_graph(
        [node], "g", [shape("rows", kind, [None, 3])], [shape("sums", kind, [None, 1])], [axes]
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    return [float(value) for value in ASKED.sum(axis=1)]


def lightgbm_model(path: Path) -> list[float]:
    booster = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(ROWS, VALUES), 5)
    booster.save_model(path)
    return [float(value) for value in np.asarray(booster.predict(ASKED))]


def sklearn_model(path: Path) -> list[float]:
    model = LinearRegression().fit(ROWS, VALUES)
    if path.suffix == ".skops":
        skops.io.dump(model, path)
    else:
        joblib.dump(model, path)
    return [float(value) for value in model.predict(ASKED)]


MODELS = [
    (RuntimeKind.ONNX, "model.onnx", onnx_model, {}),
    (RuntimeKind.LIGHTGBM, "model.txt", lightgbm_model, {}),
    (RuntimeKind.SKLEARN, "model.skops", sklearn_model, {}),
    (RuntimeKind.SKLEARN, "model.joblib", sklearn_model, {"TIDEGATE_TRUST": "pickle"}),
]


@pytest.mark.parametrize(("kind", "name", "make", "environment"), MODELS, ids=[name for _, name, _, _ in MODELS])
def test_a_worker_scores_with_it(workers: Workers, tmp_path: Path, kind, name, make, environment) -> None:  # type: ignore[no-untyped-def]
    expected = make(tmp_path / name)
    check_environment(environment)
    worker = workers.start(RuntimeChoice(kind), tmp_path / name, environment=environment)

    async def main() -> None:
        await worker.ready()
        answer = await worker.ask(body=b"[[1,2,3],[0.5,-1,2]]", headers={"content-type": "application/json"})
        assert answer.json()["predictions"] == pytest.approx(expected, rel=1e-5)
        lines = await worker.ask(body=b"1,2,3\n0.5,-1,2", headers={"content-type": "text/csv"})
        assert [float(line) for line in lines.body.splitlines()] == pytest.approx(expected, rel=1e-5)
        refused = await worker.ask(body=b"1,2", headers={"content-type": "text/csv"})
        assert refused.json()["OriginalMessage"] == "Row 1 has 2 columns; the model takes 3."
        signature = parse_signature((await worker.ask("/_tidegate/models")).json()["signature"])
        assert signature is not None and (inputs := describe_inputs(signature)) is not None
        assert inputs.sample == SampleRequest.quote("text/csv", "1,1,1")
        asked = await worker.ask(body=b"1,1,1", headers={"content-type": "text/csv"})
        assert asked.status == 200

    workers.run(main())


def test_what_the_probes_found_is_kept_for_the_next_instance(workers: Workers, tmp_path: Path) -> None:
    """A forest takes longer to probe than a start may, so the first instance does the rest before it ends."""
    forest = RandomForestRegressor(100, random_state=0).fit(ROWS, VALUES)
    skops.io.dump(forest, tmp_path / "model.skops")
    folder = workers.folder / "fleet" / "model"
    folder.parent.mkdir()
    kept = folder.with_name("model.rows")

    def start() -> RunningWorker:
        source = tmp_path / "model.skops"
        return workers.start(
            RuntimeChoice(RuntimeKind.SKLEARN), source, model_dir=str(folder), on_demand=OnDemand()
        )

    async def main() -> None:
        first = start()
        await first.ready()
        first.terminate()
        assert first.wait() == 0
        assert "scored alone" not in first.log
        content = msgspec.json.decode(kept.read_bytes(), type=kept_verdict._Content)
        assert (content.complete, content.why) == (True, "")
        kept.write_bytes(msgspec.json.encode(msgspec.structs.replace(content, why="it was found").sealed()))
        second = start()
        await second.ready()
        assert "each request is scored alone: it was found" in second.log

    workers.run(main())


def refused(kind: RuntimeKind, folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        load(kind, folder, {})
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("kind", "name", "make", "environment"), MODELS[:3], ids=[name for _, name, _, _ in MODELS[:3]]
)
def test_a_cut_model_is_refused(tmp_path: Path, kind, name, make, environment) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for length in (0, 1, len(whole) // 3, len(whole) // 2):
        (tmp_path / name).write_bytes(whole[:length])
        assert name in refused(kind, tmp_path)


@pytest.mark.parametrize("kind", [RuntimeKind.ONNX, RuntimeKind.LIGHTGBM, RuntimeKind.SKLEARN])
def test_no_model_says_what_there_is(tmp_path: Path, kind: RuntimeKind) -> None:
    (tmp_path / "about.md").write_bytes(b"x")
    assert refused(kind, tmp_path).endswith("found: about.md")


def test_a_pickle_without_trust_is_not_read(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Bomb()))
    assert "TIDEGATE_TRUST=pickle" in refused(RuntimeKind.SKLEARN, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_an_onnx_model_of_another_input_is_refused(tmp_path: Path) -> None:
    onnx_model(tmp_path / "model.onnx", onnx.TensorProto.DOUBLE)
    assert "it takes rows: tensor(double)" in refused(RuntimeKind.ONNX, tmp_path)


def test_a_row_that_an_estimator_refuses_fails_alone(workers: Workers, tmp_path: Path) -> None:
    sklearn_model(tmp_path / "model.skops")
    worker = workers.start(RuntimeChoice(RuntimeKind.SKLEARN), tmp_path / "model.skops")

    async def main() -> None:
        await worker.ready()
        answer = await worker.ask(body=b"1,,3", headers={"content-type": "text/csv"})
        assert answer.json()["OriginalStatusCode"] == 400
        assert "NaN" in str(answer.json()["OriginalMessage"])

    workers.run(main())


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("tidegate/onnx:1", RuntimeKind.ONNX),
        ("tidegate/lightgbm", RuntimeKind.LIGHTGBM),
        ("tidegate/sklearn", RuntimeKind.SKLEARN),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", RuntimeKind.SKLEARN),
    ],
)
def test_an_image_name_says_the_runtime(image: str, kind: RuntimeKind) -> None:
    assert resolve(image, ImageTable()) == RuntimeChoice(kind)


@pytest.mark.parametrize(
    ("kind", "library"),
    [("onnx", "onnxruntime"), ("lightgbm", "lightgbm"), ("sklearn", "skops"), ("onnx", "numpy")],
)
def test_a_library_that_is_missing_names_the_extra(tmp_path: Path, kind: str, library: str) -> None:
    script = (
        f"import sys; sys.modules[{library!r}] = None; from pathlib import Path;"
        " from tidegate.serving.contract.images import RuntimeKind; from tidegate.serving.runtimes import load;"
        f" load(RuntimeKind({kind!r}), Path({str(tmp_path)!r}), {{}})"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    last = run.stderr.strip().splitlines()[-1]
    assert "ArtifactError" in last and f"pip install 'tidegate[{kind}]'" in last
