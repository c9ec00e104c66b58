"""GGUF models on GPUs: all layers there, spread over the devices by llama.cpp (the xllamacpp package)."""

import math
from typing import Any

import msgspec
import xllamacpp

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import ArtifactError
from tidegate.serving.runtimes.devices.placement import Placement

TOLERANCE = 0.05
"""Largest difference of a token's probability: on a GPU llama.cpp rounds activations to few bits, as weights are."""
_PROMPTS = ("The", "1, 2, 3,", "def main():")
_SHOWN = 8
"""Tokens whose probabilities are compared, the most probable ones of the processor."""
_LISTED = 64
_ALL_LAYERS = 9999


Probabilities = list[dict[int, float]]
"""For each prompt the probabilities of the tokens that come next."""


class _Token(msgspec.Struct):
    id: int
    logprob: float


class _Position(msgspec.Struct):
    top_logprobs: list[_Token]


class _Logprobs(msgspec.Struct):
    content: list[_Position]


class _Choice(msgspec.Struct):
    logprobs: _Logprobs


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class GgufOnDevice:
    """A ``library.DeviceLibrary``. ``layers``: how many go on the devices; ``kinds``: of llama.cpp's devices."""

    several = True

    def __init__(self, layers: int = _ALL_LAYERS, kinds: tuple[str, ...] = ("GPU",)) -> None:
        self.layers = layers
        self._kinds = kinds

    def missing(self) -> str:
        return "" if self._devices() else "the installed xllamacpp finds no GPU"

    def free_memory(self) -> int:
        """Bytes of all devices that are not in use."""
        return sum(int(one["memory_free"]) for one in self._devices())

    def _devices(self) -> list[Any]:
        return [one for one in xllamacpp.get_device_info() if one["type"].name.rpartition("_")[2] in self._kinds]

    @staticmethod
    def expect_tokens(server: Any, listed: int = _SHOWN) -> Probabilities:
        return [_expect_token(server, prompt, listed) for prompt in _PROMPTS]

    def compare(self, on_cpu: Probabilities, server: Any, placement: Placement, free: int) -> None:
        """Raises ArtifactError if the model on the devices expects other tokens than on the processor, or is not
        there. ``free``: bytes of the devices that were not in use before it was loaded."""
        if self.free_memory() >= free:
            raise ArtifactError("llama.cpp put nothing of the model on the devices: leave out devices")
        found = self.expect_tokens(server, _LISTED)
        off = max(
            abs(right - there.get(token, 0.0))
            for here, there in zip(on_cpu, found, strict=True)
            for token, right in here.items()
        )
        if not off <= TOLERANCE:
            raise ArtifactError(
                f"the model expects other tokens on the device than on the processor, by up to {off:.2f} of"
                f" probability ({TOLERANCE:g} is allowed): leave out devices"
            )
        placement.note_difference(off, TOLERANCE)


def _expect_token(server: Any, prompt: str, listed: int) -> dict[int, float]:
    asked = {"prompt": prompt, "n_predict": 1, "n_probs": listed, "temperature": 0, "cache_prompt": False}
    found: list[bytes] = []
    server.handle_completions(msgspec.json.encode(asked), found.append)
    try:
        [choice] = msgspec.json.decode(found[-1], type=prepare_type(_Completion)).choices
        [position] = choice.logprobs.content
    except (IndexError, ValueError) as error:
        raise ArtifactError(
            f"llama.cpp shows no probabilities of tokens, by which devices are checked: {error}"
        ) from None
    return {token.id: math.exp(token.logprob) for token in position.top_logprobs}


LIBRARY = GgufOnDevice()
