"""The interface through which a feature adds a protocol for predictions beside the native one and OpenAI's."""

from collections.abc import Callable
from typing import Protocol, cast

from tidegate.serving.contract.invocation import ModelEngine
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.contract.signature import ModelSignature
from tidegate.serving.front.connection import Request
from tidegate.serving.front.response_formats import ResponseFormat
from tidegate.serving.front.responses import Responses

HOOK = "worker_protocol"
"""Extension point: a function of a replica's specification and ``Responses`` that returns a ``FurtherProtocol``."""


class FurtherProtocol(Protocol):
    """``path``: below the endpoint's."""

    def find_format(self, path: bytes) -> ResponseFormat | None:
        """The form of errors; None for a path that is not the protocol's."""
        ...

    def predicts(self, request: Request, path: bytes) -> bool:
        """Whether it asks for a prediction."""
        ...

    def translate(
        self, request: Request, path: bytes, signature: ModelSignature | None
    ) -> tuple[Request, ResponseFormat]:
        """The native request that asks the same, and the form of its answer. May run in a thread. Raises
        ModelFailed."""
        ...

    def show(
        self,
        request: Request,
        path: bytes,
        engine: ModelEngine | None,
        reply: Callable[[bytes], None],
        close: bool,
    ) -> None:
        """Answer what is no prediction, now or later."""
        ...


def find_protocol(spec: ReplicaSpec, responses: Responses) -> FurtherProtocol | None:
    """Return the protocol of the feature that has one."""
    from tidegate.host.features import features  # noqa: PLC0415  # most workers need no manifest

    make = features().find_hook(HOOK)
    return None if make is None else cast(FurtherProtocol, make(spec, responses))
