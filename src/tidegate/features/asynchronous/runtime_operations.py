"""Asynchronous requests: accepted once they are durable, processed later by the dispatcher."""

import hashlib
from datetime import datetime
from uuid import UUID

from tidegate.domain.access import Access
from tidegate.domain.errors import Unavailable
from tidegate.domain.trace_context import PARENT, format_parent
from tidegate.features.asynchronous import service as use
from tidegate.features.asynchronous.service import AsyncRequest
from tidegate.wire.operation import AsyncOperation, OperationCall, Operations, Params

_HEADERS = {
    "ContentType": "content-type",
    "Accept": "accept",
    "CustomAttributes": "x-amzn-sagemaker-custom-attributes",
    "InferenceId": "x-amzn-sagemaker-inference-id",
}


async def invoke_endpoint_async(call: OperationCall, params: Params) -> Params:
    queue = call.ctx.queue
    if queue is None:
        raise Unavailable("This server does not accept asynchronous requests")
    asking = AsyncRequest(
        params["EndpointName"],
        body=params.get("Body", b""),
        input=params.get("InputLocation"),
        inference_id=params.get("InferenceId"),
        stay=params.get("RequestTTLSeconds", use.MAX_QUEUE_SECONDS),
        timeout=params.get("InvocationTimeoutSeconds", use.DEFAULT_TIMEOUT),
        extension=params.get("S3OutputPathExtension"),
        filename=params.get("Filename"),
        headers={header: params[name] for name, header in _HEADERS.items() if name in params},
    )
    traces = call.ctx.acceptances
    begun = traces.begin(call.headers) if traces is not None else None
    if begun is not None:
        asking.headers[PARENT] = format_parent(begun.own)
    unique = _make_uuid(call.ctx.ids.new("inference"), call.now)
    body = asking.body if asking.input is None else None
    item = await queue.accept(lambda tx: use.build_item(tx, asking, unique, call.now), body)
    if traces is not None and begun is not None:
        traces.end(begun, item, call.now)
    return {
        "InferenceId": item.inference_id,
        "OutputLocation": item.output,
        "FailureLocation": item.failure,
    }


def _make_uuid(id: str, now: datetime) -> UUID:
    """An internal id in the UUID form that clients expect. Version 7, which begins with the time: what is accepted
    together lies together in the index of the queue, and a deep queue costs less to write."""
    drawn = int.from_bytes(hashlib.sha256(id.encode()).digest()[:10])
    ahead, behind = drawn >> 68, drawn & (1 << 62) - 1
    return UUID(int=int(now.timestamp() * 1000) << 80 | 7 << 76 | ahead << 64 | 2 << 62 | behind)


OPERATIONS: Operations = {"InvokeEndpointAsync": AsyncOperation(invoke_endpoint_async, Access.USE)}
