"""What is read in a PyTorch model's graph: work over all rows, their number, chance and memory; and what is not."""

from typing import Any

import pytest
import torch
from torch import nn

from tidegate.serving.runtimes import torch_graphs

WIDTH = 6


class Base(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(WIDTH, WIDTH)


class Largest(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.only(x / x.abs().max().clamp(min=1e9))


class ThroughABuffer(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        copied = torch.zeros(x.size(0), 6)
        copied[:, :] = x
        return self.only(x / copied.amax(0).clamp(min=1e9))


class Asks(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool((x == 7.25).any()):
            return self.only(x) * 2
        return self.only(x)


class Nested(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = x
        for _ in range(3):
            found = self.only(found)
            if found.shape[1] == 6:
                found = found - found.mean(0)
        return found


class Sizes(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 6:
            return self.only(x) * 2
        return self.only(x)


class Seventeen(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.only(x) + float(x.shape[0] == 17)


class Divided(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.only(x) + x.size(0) // 17


class Places(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.only(x) + torch.arange(x.size(0)).unsqueeze(1)


class OneByOne(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = torch.zeros(x.size(0), 6)
        for row in range(x.size(0)):
            found[row] = self.only(x[row])
        return found


class Random(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.only(x) + torch.rand(1)


class Dropping(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.only(nn.functional.dropout(x, 0.1, True))


class Training(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.batch_norm(self.only(x), None, None, None, None, True, 0.1, 1e-5, False)


class Counter(Base):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.asked += 1
        return self.only(x) + self.asked


class Remembers(Base):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("state", torch.zeros(2, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.state[0].mul_(0.9).add_(0.1)
        return self.only(x) + self.state[0]


COMBINING: dict[type[Base], str] = {
    Largest: "it works over all rows (max)",
    ThroughABuffer: "it works over all rows (amax)",
    Asks: "it works over all rows (any)",
    Nested: "it works over all rows (mean)",
    Sizes: "what it does depends on the number of rows",
    Seventeen: "it computes with the number of rows (Float)",
    Divided: "it computes with the number of rows (add)",
    Places: "it computes with the number of rows (add)",
    OneByOne: "it computes with the number of rows (Loop)",
    Random: "it draws numbers at random (rand)",
    Dropping: "it draws numbers at random (dropout)",
    Training: "it takes mean and variance from the batch",
}
STATEFUL: dict[type[Base], str] = {
    Counter: "it keeps state between requests",
    Remembers: "it changes its own parameters or buffers (mul_)",
}


class Ordinary(Base):
    """Shapes that are asked for and refused, training that is over, norms and gates of each row."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.rows = nn.LayerNorm(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.size(1) != 6:
            raise ValueError("another width")
        if x.size(0) == 0:
            raise ValueError("no rows")
        rows, width = x.shape
        x = self.drop(self.norm(self.only(x))).view(rows, width) / width**0.5
        x = nn.functional.relu_(self.rows(x) + torch.zeros(rows, width))
        x = torch.max(x, torch.full((1, 6), -1.0)) - x.mean(1, keepdim=True)
        return torch.softmax(torch.cat([x, x.cumsum(1)], 1), -1)


class Attention(Base):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(3, 1, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.only(x).view(-1, 2, 3)).mean(1)


class Recurrent(Base):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(2, 4, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.layer(self.only(x).view(x.shape[0], 3, 2))
        return steps[:, -1]


def scripted(model: type[Base]) -> Any:
    return torch.jit.script(model().eval()).eval()


def exported(model: type[Base]) -> Any:
    rows = ({0: torch.export.Dim("rows")},)
    return torch.export.export(model().eval(), (torch.randn(4, WIDTH),), dynamic_shapes=rows)


@pytest.mark.parametrize("model", COMBINING)
def test_what_combines_rows_is_found(model: type[Base]) -> None:
    assert torch_graphs.of_script(scripted(model)) == torch_graphs.BatchingObstacle(COMBINING[model], False)


@pytest.mark.parametrize("model", STATEFUL)
def test_what_the_model_remembers_is_found(model: type[Base]) -> None:
    assert torch_graphs.of_script(scripted(model)) == torch_graphs.BatchingObstacle(STATEFUL[model], True)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:The tensor attributes:UserWarning")
@pytest.mark.parametrize("model", [Ordinary, Attention, Recurrent])
def test_ordinary_models_are_not_accused(model: type[Base]) -> None:
    assert torch_graphs.of_script(scripted(model)) is None
    traced = torch.jit.trace(model().eval(), torch.randn(4, WIDTH), check_trace=False)
    assert torch_graphs.of_script(traced) is None
    assert torch_graphs.of_program(exported(model)) is None


@pytest.mark.parametrize("model", [Largest, ThroughABuffer, Divided, Places, Random, Dropping, Training])
def test_programs_are_read_likewise(model: type[Base]) -> None:
    found = torch_graphs.of_program(exported(model))
    assert found is not None and not found.stateful


def test_a_program_with_a_buffer_that_changes_is_stateful() -> None:
    found = torch_graphs.of_program(exported(Remembers))
    assert found is not None and found.stateful


def test_a_graph_that_cannot_be_read_is_no_good_news() -> None:
    found = torch_graphs.of_script(object())
    assert found is not None and "its graph cannot be followed (AttributeError" in found.reason
