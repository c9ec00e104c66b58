"""Clients that ask a PyTorch model at one time get what each gets alone, whatever the model is made of."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.batched_clients import alone, assert_alike, together
from tidegate.domain.errors import ArtifactError
from tidegate.serving.runtimes import pytorch
from tidegate.serving.runtimes.tabular_scorer import TabularScorer

WIDTH = 4
Step = Callable[[torch.Tensor], torch.Tensor]
torch.manual_seed(7)
WEIGHTS = torch.randn(WIDTH, WIDTH) / 2
KERNEL = torch.randn(1, 1, 1, 1)
SAFE: dict[str, Step] = {
    "dense": lambda x: x @ WEIGHTS,
    "tanh": torch.tanh,
    "relu in place": lambda x: torch.relu_(x * 1),
    "softmax": lambda x: torch.softmax(x, 1),
    "layer norm": lambda x: torch.nn.functional.layer_norm(x, (WIDTH,)),
    "largest of the row": lambda x: x / x.abs().amax(1, keepdim=True).clamp(min=50),
    "convolution": lambda x: torch.conv2d(x.view(-1, 1, 2, 2), KERNEL).view(-1, WIDTH),
    "gate": lambda x: torch.where(x > 0.5, x, -x),
    "sine": torch.sin,
    "sorted columns": lambda x: x.sort(1)[0],
    "attention": lambda x: torch.softmax(x.view(-1, 2, 2) @ x.view(-1, 2, 2).transpose(1, 2), -1).reshape(
        -1, WIDTH
    ),
}
UNSAFE: dict[str, Step] = {
    "largest": lambda x: x / x.abs().max().clamp(min=50),
    "largest by column": lambda x: x / x.abs().amax(0).clamp(min=1e6),
    "mean": lambda x: x - x.mean(0),
    "softmax of rows": lambda x: torch.softmax(x, 0),
    "running sum": lambda x: x.cumsum(0),
    "sorted": lambda x: x.sort(0)[0],
    "seen": lambda x: x * (1 + (x == 12.5).any()),
    "batch norm": lambda x: torch.batch_norm(x, None, None, None, None, True, 0.1, 1.0, False),
    "first row": lambda x: x + x[:1],
    "shifted": lambda x: x + x.roll(1, 0),
    "place": lambda x: x + torch.ones_like(x).cumsum(0),
    "gram": lambda x: x @ (x.T @ x),
    "noise": lambda x: x + torch.rand_like(x),
    "dropout": lambda x: torch.nn.functional.dropout(x, 0.5, True),
}
RANDOM = np.random.default_rng(3)
REQUESTS = [
    RANDOM.normal(size=(rows, WIDTH)).astype(np.float32) * scale
    for rows, scale in ((1, 1), (2, 1), (1, 1e3), (1, 1e-3), (3, 1), (1, 70), (1, 1))
]


class Chain(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self.steps = steps
        self.known = torch.nn.Parameter(torch.eye(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            x = step(x)
        return x @ self.known


def load(steps: list[Step], folder: Path) -> TabularScorer:
    with torch.inference_mode(False):
        traced = torch.jit.trace(Chain(steps).eval(), torch.randn(3, WIDTH), check_trace=False)
    traced.save(str(folder / "model.pt"))
    table = pytorch.load(folder, {})
    assert isinstance(table, TabularScorer)
    return table


@given(st.lists(st.sampled_from(sorted(SAFE)), min_size=1, max_size=4))
def test_rows_that_are_independent_are_scored_together(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = load([SAFE[step] for step in steps], Path(folder))
        assert table.batches
        assert_alike(together(table, REQUESTS), alone(table, REQUESTS))


@given(
    st.lists(st.sampled_from(sorted(SAFE)), max_size=2),
    st.sampled_from(sorted(UNSAFE)),
    st.lists(st.sampled_from(sorted(SAFE)), max_size=1),
)
def test_rows_that_meet_are_scored_alone(before: list[str], mixing: str, after: list[str]) -> None:
    steps = [*(SAFE[step] for step in before), UNSAFE[mixing], *(SAFE[step] for step in after)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            table = load(steps, Path(folder))
        except ArtifactError:  # its answers change by themselves
            assert mixing in ("noise", "dropout")
            return
        assert not table.batches or after  # which may undo what the step before it did
        if mixing not in ("noise", "dropout"):
            assert_alike(together(table, REQUESTS), alone(table, REQUESTS))
