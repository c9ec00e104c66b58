"""Requests of different clients are scored together only where each gets what it would get alone."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import onnx
import pytest
import torch
import xgboost
from onnx.helper import make_node as node
from onnxruntime.quantization import quantize_dynamic
from sklearn.decomposition import NMF
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, StandardScaler

from tests.batched_clients import alone, assert_alike, predictions, save_onnx, submit, together
from tidegate.domain.errors import ArtifactError
from tidegate.serving.runtimes import lightgbm as lightgbm_runtime
from tidegate.serving.runtimes import onnx as onnx_runtime
from tidegate.serving.runtimes import pytorch, sklearn, sklearn_independence
from tidegate.serving.runtimes import xgboost as xgboost_runtime
from tidegate.serving.runtimes.mlflow_fastpath import Native
from tidegate.serving.runtimes.tabular_scorer import TabularScorer
from tidegate.serving.scoring.batching import MISMATCH, Batcher, Comparable
from tidegate.serving.scoring.rescoring import TRIAL_BATCHES

TRUST = {"TIDEGATE_TRUST": "pickle"}
RANDOM = np.random.default_rng(0)
WIDTH = 6
REQUESTS = [
    (RANDOM.normal(size=(rows, WIDTH)) * 10.0**power).round(6)
    for rows, power in ((1, 0), (2, 0), (1, 3), (1, -2), (3, 0), (1, 5), (1, 1), (1, 0))
]


def batched(folder: Path, load: Callable[[Path, dict[str, str]], Any]) -> bool:
    """Whether requests are scored together; what clients get must be what each gets alone either way."""
    table = load(folder, TRUST)
    assert isinstance(table, TabularScorer)
    expected = alone(load(folder, TRUST), REQUESTS)
    for rounds in (1, TRIAL_BATCHES + 3):
        assert_alike(together(table, REQUESTS, rounds), expected)
    return table.batches


# --- ONNX ---


def dense(folder: Path) -> Path:
    weights = {
        "w1": RANDOM.normal(size=(WIDTH, 8)).astype(np.float32),
        "b1": RANDOM.normal(size=8).astype(np.float32),
        "w2": RANDOM.normal(size=(8, 2)).astype(np.float32),
    }
    nodes = [
        node("MatMul", ["rows", "w1"], ["a"]),
        node("Add", ["a", "b1"], ["b"]),
        node("Tanh", ["b"], ["c"]),
        node("MatMul", ["c", "w2"], ["out"]),
    ]
    return save_onnx(folder / "model.onnx", nodes, weights, WIDTH)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_onnx_model_that_takes_its_scale_from_the_batch_answers_each_request_alone(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "quantized").mkdir()
    source = dense(tmp_path / "plain")
    quantize_dynamic(str(source), str(tmp_path / "quantized" / "model.onnx"))
    assert not batched(tmp_path / "quantized", onnx_runtime.load)
    assert batched(tmp_path / "plain", onnx_runtime.load)


def test_an_onnx_gate_that_no_trial_opens_is_seen_in_the_graph(tmp_path: Path, capfd: Any) -> None:
    """Rows are doubled where any row of the batch holds a certain number, which no trial happens to send."""
    weights = {"number": np.array(123.456, np.float32), "w": np.ones((WIDTH, 1), np.float32)}
    nodes = [
        node("Equal", ["rows", "number"], ["hit"]),
        node("Cast", ["hit"], ["h"], to=onnx.TensorProto.FLOAT),
        node("ReduceMax", ["h"], ["any"], keepdims=0),
        node("MatMul", ["rows", "w"], ["sum"]),
        node("Mul", ["sum", "any"], ["extra"]),
        node("Add", ["sum", "extra"], ["out"]),
    ]
    save_onnx(tmp_path / "model.onnx", nodes, weights, WIDTH)
    assert not batched(tmp_path, onnx_runtime.load)
    assert "each request is scored alone: ReduceMax: it works along the batch axis" in capfd.readouterr().out


def test_an_onnx_forest_as_converters_make_it_is_batched(tmp_path: Path) -> None:
    nodes = [
        node("Scaler", ["rows"], ["s"], domain="ai.onnx.ml", offset=[0.5] * WIDTH, scale=[2.0] * WIDTH),
        node(
            "TreeEnsembleClassifier",
            ["s"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            classlabels_int64s=[0, 1],
            class_ids=[0, 1],
            class_nodeids=[1, 2],
            class_treeids=[0, 0],
            class_weights=[0.25, 0.75],
            nodes_treeids=[0, 0, 0],
            nodes_nodeids=[0, 1, 2],
            nodes_featureids=[1, 0, 0],
            nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
            nodes_values=[0.5, 0.0, 0.0],
            nodes_truenodeids=[1, 0, 0],
            nodes_falsenodeids=[2, 0, 0],
            post_transform="NONE",
        ),
        node("Normalizer", ["scores"], ["out"], domain="ai.onnx.ml", norm="L1"),
    ]
    save_onnx(tmp_path / "model.onnx", nodes, {}, WIDTH)
    assert batched(tmp_path, onnx_runtime.load)


# --- PyTorch ---


class Module(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, last: int = 2) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.only = torch.nn.Linear(WIDTH, last)


class Scaled(Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.only(x / torch.clamp(x.abs().max(), min=50))


class RunningLargest(Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.only(x) + x.cummax(dim=0)[0][:, :2].clamp(min=3e4)


class CountsRows(Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] > 6:
            return self.only(x) * 2
        return self.only(x)


class Looks(Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.only(x)
        if bool((x[:, 3] == 41.5).any()):
            found = found + 1
        return found


class Counts(Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("asked", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.asked.add_(1)
        return self.only(x) + self.asked


class Noisy(Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.only(x) + 1e-9 * torch.randn(1)


class Shifts(Module):
    """Each row looks at the one before it, for a number that no trial sends, by an operator that graphs use for
    other things."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = torch.nn.functional.pad(x, (0, 0, 1, 0))[:-1]
        return self.only(x) + torch.where((before[:, :1] - 31415.5).abs() < 1, 1.0, 0.0)


class Plain(Module):
    def __init__(self) -> None:
        super().__init__(8)
        self.norm = torch.nn.BatchNorm1d(8)
        self.drop = torch.nn.Dropout(0.5)
        self.last = torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.last(self.drop(torch.relu(self.norm(self.only(x))))), dim=1)


class Pictures(Module):
    def __init__(self) -> None:
        super().__init__(16)
        self.conv = torch.nn.Conv2d(1, 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = torch.relu(self.conv(self.only(x).view(-1, 1, 4, 4)))
        return seen.amax(dim=(2, 3))


def script(model: torch.nn.Module, folder: Path) -> Path:
    torch.jit.script(model.eval()).save(str(folder / "model.pt"))
    return folder


@pytest.mark.parametrize("model", [Scaled, RunningLargest, CountsRows, Looks])
def test_a_torch_model_whose_rows_meet_answers_each_request_alone(model: type[Module], tmp_path: Path) -> None:
    assert not batched(script(model(), tmp_path), pytorch.load)


@pytest.mark.parametrize("model", [Plain, Pictures])
def test_an_ordinary_torch_model_is_batched(model: Callable[[], Module], tmp_path: Path) -> None:
    assert batched(script(model(), tmp_path), pytorch.load)


@pytest.mark.parametrize("model", [Scaled, RunningLargest, Plain])
def test_a_program_of_torch_export_is_judged_likewise(model: Callable[[], Module], tmp_path: Path) -> None:
    example = (torch.randn(4, WIDTH),)
    rows = ({0: torch.export.Dim("rows")},)
    torch.export.save(
        torch.export.export(model().eval(), example, dynamic_shapes=rows), str(tmp_path / "model.pt2")
    )
    assert batched(tmp_path, pytorch.load) == (model is Plain)


def test_a_torch_model_with_a_memory_is_refused(tmp_path: Path) -> None:
    """Its answer would depend on the requests before."""
    with pytest.raises(
        ArtifactError, match=r"it changes its own parameters or buffers \(add_\), so an answer may"
    ):
        pytorch.load(script(Counts(), tmp_path), {})


class CountsInTraining(Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("asked", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.asked.add_(1)
        return self.only(x) + self.asked


class CountsQuietly(Module):
    """Shows what it remembers after so many requests that no probe makes."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.asked += 1
        return self.only(x) * 2 if self.asked > 100_000 else self.only(x)


class Sequences(Module):
    """Takes tensors of any shape, and so no table."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = x.sum() + self.last
        self.last.copy_(x.sum().reshape(1))
        return found


def test_what_a_torch_model_does_in_training_alone_is_no_memory(tmp_path: Path) -> None:
    table = pytorch.load(script(CountsInTraining(), tmp_path), {})
    assert_alike(together(table, REQUESTS), alone(table, REQUESTS))


@pytest.mark.parametrize("model", [CountsQuietly, Sequences])
def test_a_memory_that_no_probe_shows_is_found_in_the_graph(model: Callable[[], Module], tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match="so an answer may depend on the requests before; save it in inference"
    ):
        pytorch.load(script(model(), tmp_path), {})


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("layer", [torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(WIDTH)])
def test_a_torch_model_traced_in_training_mode_is_refused(layer: Any, tmp_path: Path) -> None:
    model = torch.nn.Sequential(layer, torch.nn.Linear(WIDTH, 1)).train()
    torch.jit.trace(model, torch.randn(4, WIDTH), check_trace=False).save(str(tmp_path / "model.pt"))
    with pytest.raises(
        ArtifactError, match=r"(in training mode \(dropout\)|own parameters or buffers).* model\.eval\(\)"
    ):
        pytorch.load(tmp_path, {})


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_norm_that_keeps_no_mean_is_in_no_training_mode(tmp_path: Path) -> None:
    """It takes that of the request's rows, as in one's own process."""
    layer = torch.nn.BatchNorm1d(WIDTH, track_running_stats=False)
    model = torch.nn.Sequential(layer, torch.nn.Linear(WIDTH, 1)).eval()
    torch.jit.trace(model, torch.randn(4, WIDTH)).save(str(tmp_path / "model.pt"))
    table = pytorch.load(tmp_path, {})
    assert isinstance(table, TabularScorer) and not table.batches
    rows = REQUESTS[4].astype(np.float32)
    assert_alike(together(table, [rows]), [model(torch.from_numpy(rows)).detach().numpy()[:, 0].tolist()])


class Sampled(Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.only(x) + torch.randn(1)


def test_a_torch_model_that_answers_at_random_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="it answers the same rows differently each time"):
        pytorch.load(script(Sampled(), tmp_path), {})


ASKED: list[int] = []


def remember(rows: Any) -> Any:
    """Multiplies by how often it has been asked so far."""
    ASKED.append(len(rows))
    return np.asarray(rows) * len(ASKED)


def add_noise(rows: Any) -> Any:
    return rows + np.random.default_rng().normal(size=np.shape(rows))


@pytest.mark.parametrize("function", [remember, add_noise])
def test_a_scikit_learn_model_whose_answer_changes_is_refused(
    function: Callable[[Any], Any], tmp_path: Path
) -> None:
    model = make_pipeline(FunctionTransformer(function), LinearRegression()).fit(np.eye(WIDTH), np.arange(WIDTH))
    joblib.dump(model, tmp_path / "model.joblib")
    with pytest.raises(ArtifactError, match=r"it answers the same rows differently each time .* random_state"):
        sklearn.load(tmp_path, TRUST)


def test_a_scikit_learn_model_that_draws_its_answers_is_refused(tmp_path: Path) -> None:
    model = DummyClassifier(strategy="uniform").fit(np.eye(WIDTH), np.arange(WIDTH))
    joblib.dump(model, tmp_path / "model.joblib")
    with pytest.raises(ArtifactError, match="it answers the same rows differently each time"):
        sklearn.load(tmp_path, TRUST)


def test_a_torch_program_of_one_row_is_asked_row_by_row(tmp_path: Path) -> None:
    model = Plain().eval()
    torch.export.save(torch.export.export(model, (torch.randn(1, WIDTH),)), str(tmp_path / "model.pt2"))
    table = pytorch.load(tmp_path, TRUST)
    rows = REQUESTS[4].astype(np.float32)
    assert_alike(together(table, [rows]), [model(torch.from_numpy(rows)).tolist()])


def test_a_torch_model_with_noise_is_not_called_a_mixing_one(tmp_path: Path, capfd: Any) -> None:
    table = pytorch.load(script(Noisy(), tmp_path), {})
    assert isinstance(table, TabularScorer) and not table.batches
    assert "it draws numbers at random (randn)" in capfd.readouterr().out


def test_what_no_trial_shows_real_requests_show_before_an_answer_is_wrong(tmp_path: Path, capfd: Any) -> None:
    table = pytorch.load(script(Shifts(), tmp_path), {})
    assert isinstance(table, TabularScorer) and table.batches
    requests = [*REQUESTS[:3], np.full((1, WIDTH), 31415.0), *REQUESTS[3:]]
    assert_alike(together(table, requests, rounds=3), alone(table, requests))
    said = "each request is scored alone from now on: a request was answered differently alone and together"
    assert said in capfd.readouterr().out


async def test_after_the_first_batches_a_sample_shows_it(tmp_path: Path, capfd: Any) -> None:
    """Traffic that becomes another: the metric says so, and no later answer is wrong."""

    table: Any = pytorch.load(script(Shifts(), tmp_path), {})
    assert isinstance(table, TabularScorer) and table.batches
    others = [
        np.full((1, WIDTH), 31415.0),
        np.ones((1, WIDTH)),
        np.full((1, WIDTH), 31415.0),
        np.zeros((1, WIDTH)),
    ]
    expected = alone(table, others)
    engine: Batcher[Any, Any] = Batcher(table, asyncio.get_running_loop())
    for _ in range(TRIAL_BATCHES + 1):
        await submit(engine, REQUESTS)
    noted: list[float] = []
    for _ in range(2_000):
        _, calls = await submit(engine, others)
        noted += [note.value for call in calls for note in call.notes if note.name == MISMATCH]
        if noted:
            break
        await asyncio.sleep(0.001)
    outcomes, _ = await submit(engine, others)
    assert_alike([predictions(outcome) for outcome in outcomes], expected)
    await engine.close()
    assert noted == [1.0]
    assert capfd.readouterr().out.count("each request is scored alone from now on") == 1


# --- scikit-learn ---


def centred(rows: Any) -> Any:
    return rows - rows.mean(axis=0)


def distance(one: Any, other: Any) -> float:
    return float(abs(one - other).sum())


class Centring(StandardScaler):  # type: ignore[misc]
    """A transformer that looks like one of scikit-learn's own."""

    def transform(self, X: Any, copy: Any = None) -> Any:
        return X / max(1.0, float(np.abs(X).max()) / 1e7)


TRAINING = RANDOM.normal(size=(120, WIDTH)).astype(np.float32)
LABELS = (TRAINING[:, 0] > 0).astype(int)
TOGETHER = {
    "scaler and regression": make_pipeline(StandardScaler(), LogisticRegression()),
    "logarithms": make_pipeline(FunctionTransformer(np.arcsinh), LogisticRegression()),
    "quantiles": make_pipeline(QuantileTransformer(n_quantiles=20), LogisticRegression()),
    "forest": RandomForestClassifier(5, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=5),
    "neighbours": KNeighborsClassifier(3),
}
ALONE = {
    "a function": make_pipeline(FunctionTransformer(centred), LogisticRegression()),
    "a class": make_pipeline(Centring(), LogisticRegression()),
    "a measure": KNeighborsClassifier(3, metric=distance),
}


def fitted(model: Any, folder: Path) -> Path:
    joblib.dump(model.fit(TRAINING, LABELS), folder / "model.joblib")
    return folder


@pytest.mark.parametrize("name", TOGETHER)
def test_estimators_of_scikit_learn_are_batched(name: str, tmp_path: Path) -> None:
    assert batched(fitted(TOGETHER[name], tmp_path), sklearn.load)


@pytest.mark.parametrize("name", ALONE)
def test_code_of_ones_own_in_scikit_learn_sees_one_request_at_a_time(name: str, tmp_path: Path) -> None:
    assert not batched(fitted(ALONE[name], tmp_path), sklearn.load)


@pytest.mark.parametrize(
    "model",
    [DummyClassifier(strategy="uniform", random_state=1), DummyClassifier(strategy="stratified", random_state=1)],
)
def test_answers_by_chance_are_given_alone(model: Any) -> None:
    assert "draws numbers at random" in sklearn_independence.why_alone(model.fit(TRAINING, LABELS))


def test_a_factorization_that_stops_by_all_rows_is_scored_alone() -> None:
    model = make_pipeline(NMF(2, max_iter=500), LogisticRegression()).fit(np.abs(TRAINING), LABELS)
    assert sklearn_independence.why_alone(model) == "NMF: it looks at all rows to decide when to stop"


def test_a_method_that_was_put_in_place_of_another_is_seen() -> None:
    model = StandardScaler().fit(TRAINING)
    model.transform = centred
    assert "code of its own may look at all rows" in sklearn_independence.why_alone(model)


# --- trees: independent by construction, and sampled like the others ---


def xgboost_model(folder: Path) -> Any:
    data = xgboost.DMatrix(TRAINING, LABELS)
    xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 5).save_model(folder / "model.ubj")
    return xgboost_runtime.load(folder, {})


def lightgbm_model(folder: Path) -> Any:
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    lightgbm.train(settings, lightgbm.Dataset(TRAINING, LABELS), 5).save_model(folder / "model.txt")
    return lightgbm_runtime.load(folder, {})


@pytest.mark.parametrize("make", [xgboost_model, lightgbm_model])
def test_trees_are_batched_and_their_batches_checked(
    make: Callable[[Path], Any], tmp_path: Path, capfd: Any
) -> None:
    table = make(tmp_path)
    assert table.batches
    expected = alone(table, REQUESTS)
    assert_alike(together(table, REQUESTS, TRIAL_BATCHES + 3), expected)
    assert "alone from now on" not in capfd.readouterr().out
    right = table._predict
    table._predict = lambda rows: right(rows) + (len(rows) > 3)
    assert_alike(together(table, REQUESTS, 2), expected)
    assert "each request is scored alone from now on" in capfd.readouterr().out


def test_mlflow_s_native_models_can_be_checked() -> None:
    native = Native(None, lambda rows: rows.sum(axis=1))  # type: ignore[arg-type]
    assert isinstance(native, Comparable)
    rows = np.ones((2, 3))
    assert native.difference(rows, native.score_again(rows), np.array([3.0, 3.0])) == ""
    assert "differently" in native.difference(rows, native.score_again(rows), np.array([3.0, 4.0]))
