"""Whole numbers that float32 cannot hold: the answer is what the library gives for them in one's own process."""

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import xgboost

from tidegate.serving.contract.invocation import Answer, Call
from tidegate.serving.runtimes import pytorch
from tidegate.serving.runtimes import xgboost as runtime

FIRST = 2**24
RANDOM = np.random.default_rng(6)
NUMBERS = np.unique(
    np.concatenate(
        [
            np.arange(FIRST - 8, FIRST + 64),
            *(2**power + RANDOM.integers(-(2**20), 2**20, 200) for power in (31, 32, 40, 50)),
            RANDOM.integers(1_500_000_000_000, 1_800_000_000_000, 200),  # Unix times in milliseconds
        ]
    )
)
ROWS = np.stack([NUMBERS, -NUMBERS], axis=1)


def answers(model: object, body: bytes, kind: str) -> np.ndarray:
    call = Call(body, {b"content-type": kind.encode(), b"accept": b"application/json"})
    [scores] = model.score([model.parse(call)])  # type: ignore[attr-defined]
    answer = model.render(scores, call)  # type: ignore[attr-defined]
    assert isinstance(answer, Answer)
    return np.ravel(msgspec.json.decode(answer.body)["predictions"])


def bodies() -> dict[str, bytes]:
    file = io.BytesIO()
    np.save(file, ROWS)
    return {
        "text/csv": "".join(f"{one},{other}\n" for one, other in ROWS.tolist()).encode(),
        "application/json": msgspec.json.encode(ROWS.tolist()),
        "application/jsonlines": b"\n".join(map(msgspec.json.encode, ROWS.tolist())),
        "application/x-npy": file.getvalue(),
    }


@pytest.mark.parametrize("kind", bodies())
def test_xgboost_answers_as_in_process(kind: str, tmp_path: Path) -> None:
    labels = np.argsort(np.argsort(NUMBERS)).astype(float)
    settings = {"max_depth": 12, "nthread": 1, "eta": 1.0, "tree_method": "exact", "min_child_weight": 0}
    booster = xgboost.train(settings, xgboost.DMatrix(ROWS, labels), 2)
    booster.save_model(tmp_path / "xgboost-model.ubj")
    expected = booster.predict(xgboost.DMatrix(ROWS))
    assert len(np.unique(expected)) > 64  # thresholds lie between neighbours
    found = answers(runtime.load(tmp_path, {}), bodies()[kind], kind)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-4)


@pytest.mark.parametrize("kind", bodies())
def test_pytorch_answers_as_in_process(kind: str, tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.5]]))
        layer.bias.zero_()
    torch.jit.script(layer).save(str(tmp_path / "model.pt"))
    with torch.no_grad():
        expected = layer(torch.from_numpy(ROWS).float()).numpy().ravel()
    found = answers(pytorch.load(tmp_path, {}), bodies()[kind], kind)
    np.testing.assert_array_equal(found, expected)
