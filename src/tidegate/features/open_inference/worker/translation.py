"""A request of the protocol as its engine gets it, and the engine's answer as outputs. It needs numpy, and so is
imported for the first request."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tidegate.features.open_inference.worker.forms import V2Exchange
from tidegate.serving.contract.invocation import Answer
from tidegate.serving.contract.signature import ModelSignature
from tidegate.serving.formats.v2_messages import InferRequest, V2Tensor, read_response
from tidegate.serving.formats.v2_rows import (
    NativeRequest,
    answer_of,
    message_of,
    native_request,
    outputs_of,
    readable_answer,
    readable_request,
)


class Translation(NamedTuple):
    """``native``: for the engine. ``read`` finds the outputs of its answer."""

    native: NativeRequest
    read: Callable[[Answer], Sequence[V2Tensor]]
    exchange: V2Exchange


def translate_for_model(infer: InferRequest, signature: ModelSignature | None) -> Translation:
    """For a model that takes rows or arrays. Raises ModelFailed (400)."""
    native = native_request(infer, signature)
    return Translation(native, outputs_of, V2Exchange(lambda: readable_request(native)[:2], readable_answer))


def translate_for_server(infer: InferRequest) -> Translation:
    """For a server of the protocol, which gets the message with the client's names of inputs and outputs. Captures
    and copies have the request as rows, unless it asks for outputs by name, as rows cannot. Raises ModelFailed."""
    message = message_of(infer)
    if infer.outputs is not None:
        return Translation(message, _read_message, V2Exchange(lambda: message[:2], readable_answer))
    exchange = V2Exchange(
        lambda: native_request(infer, None)[:2], lambda answer, _: answer_of(_read_message(answer))
    )
    return Translation(message, _read_message, exchange)


def _read_message(answer: Answer) -> Sequence[V2Tensor]:
    return read_response(answer.body).outputs
