"""PyTorch models on a CUDA device: the model and its inputs there, its outputs back."""

from collections.abc import Callable
from typing import Any

import torch

from tidegate.serving.runtimes.devices.exactness import coarsest


class PyTorchOnDevice:
    """A ``library.DeviceLibrary``. ``name``: PyTorch's of the device."""

    several = False

    def __init__(self, name: str = "cuda:0") -> None:
        self.name = name

    def missing(self) -> str:
        if not self.name.startswith("cuda") or torch.cuda.is_available():
            return ""
        if not torch.backends.cuda.is_built():
            return "the installed torch has no CUDA"
        return "the installed torch finds no CUDA device"

    def forward(self, read: Callable[..., Any], guard: Callable[..., Any]) -> Callable[..., Any]:
        """The model on the device, as a function of tensors in the processor's memory. ``read``: reads it for a
        ``device``."""
        # Compute with all digits of float32: CUDA's libraries may leave out 13 of its 23 bits (TF32).
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        moved = read(device=self.name).forward

        def run(*given: torch.Tensor) -> Any:
            return _fetch(moved(*(one.to(self.name) for one in given)))

        return guard(run)  # type: ignore[no-any-return]

    @staticmethod
    def computes_with(model: Any) -> str:
        """The least exact type of its weights; empty if it has none."""
        if not isinstance(model, torch.nn.Module):
            return ""
        weights = [*model.parameters(), *model.buffers()]
        return coarsest(str(one.dtype).removeprefix("torch.") for one in weights)


def _fetch(found: Any) -> Any:
    """To the processor's memory, which waits for the device, so that its errors are those of this call."""
    if isinstance(found, torch.Tensor):
        return found.cpu()
    if isinstance(found, dict):
        return {name: _fetch(one) for name, one in found.items()}
    if isinstance(found, tuple | list):
        return tuple(map(_fetch, found))
    return found


LIBRARY = PyTorchOnDevice()
