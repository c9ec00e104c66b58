"""InvokeEndpointAsync on the fast path: what a client says in the headers is the same each time, mostly, and was
parsed and validated before. Whatever is unusual goes to ``dispatch.handle``, whose answers these are to the byte."""

from dataclasses import dataclass, field

import msgspec

from tidegate.domain.access import Access
from tidegate.domain.asynchronous import MAX_INLINE_BYTES
from tidegate.domain.errors import TidegateError
from tidegate.features.asynchronous import runtime_operations as runtime_async
from tidegate.wire import dispatch
from tidegate.wire.operation import OperationCall, Params, WireContext, WireRequest, WireResponse
from tidegate.wire.routing import RUNTIME, identify

OPERATION = "InvokeEndpointAsync"
PATH_END = next(f"/{last}" for last, operation in RUNTIME.items() if operation == OPERATION)
MAX_KNOWN = 1_000
"""Combinations of headers that are remembered."""
_SERVICE = "sagemaker-runtime"
_ELSEWHERE = ("x-amz-target", "content-encoding")
"""Headers with which a request may be another one than its path says."""

_Key = tuple[str | None, ...]


@dataclass
class AsyncFastPath:
    context: WireContext
    _names: tuple[str, ...] = ()
    """Headers that are members of the request, in lower case."""
    _known: dict[_Key, Params] = field(default_factory=dict)

    async def handle(self, request: WireRequest, guard: dispatch.Guard, request_id: str) -> WireResponse:
        """Like ``dispatch.handle``."""
        headers = request.headers
        params = self._find(request) if guard.caller.may(Access.USE) and not self.context.check_answers else None
        if params is None:
            return await dispatch.handle(request, self.context, guard, request_id)
        call = OperationCall(self.context, self.context.clock.now(), request_id, guard.caller.name, headers)
        try:
            members = await runtime_async.invoke_endpoint_async(call, {**params, "Body": request.body})
        except TidegateError as error:
            return dispatch.refuse(request, self.context, error, request_id)
        return _render(members, request_id)

    def _find(self, request: WireRequest) -> Params | None:
        """Members of a request that is as most are, without its body."""
        headers = request.headers
        if len(request.body) > MAX_INLINE_BYTES or any(name in headers for name in _ELSEWHERE):
            return None
        if not self._names:
            self._names = _read_names()
        key = (request.path, *map(headers.get, self._names))
        found = self._known.get(key)
        if found is None:
            found = _parse(request)
            if found is not None:
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known[key] = found
        return found


def _read_names() -> tuple[str, ...]:
    shape = dispatch.load_service(_SERVICE).operation(OPERATION).input_shape
    places = (member.serialization for member in shape.members.values())
    return tuple(str(place["name"]).lower() for place in places if place.get("location") == "header")


def _parse(request: WireRequest) -> Params | None:
    """None: it is for ``dispatch.handle`` to say what is wrong."""
    try:
        target = identify(request, request.body)
        if target.operation != OPERATION:
            return None
        params = dispatch.parse(dispatch.load_service(_SERVICE), target, request, request.body)
    except TidegateError:
        return None
    params.pop("Body", None)
    return params


def _render(members: Params, request_id: str) -> WireResponse:
    headers = {
        "Content-Type": "application/json",
        "x-amzn-RequestId": request_id,
        "X-Amzn-SageMaker-OutputLocation": members["OutputLocation"],
    }
    if members["FailureLocation"] is not None:
        headers["X-Amzn-SageMaker-FailureLocation"] = members["FailureLocation"]
    return WireResponse(202, headers, msgspec.json.encode({"InferenceId": members["InferenceId"]}))
