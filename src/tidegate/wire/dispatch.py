"""Where an API request enters: identify, parse, check, translate, answer.

Who the caller is has been verified before. Every outcome is an answer; nothing is raised.
"""

import json
import logging
from typing import Any

from tidegate.domain.errors import TidegateError, Unavailable
from tidegate.ports.store import Stale, Tx
from tidegate.wire import (
    codec_cbor,
    codec_json,
    codec_query,
    codec_rest,
    openai,
    output_shapes,
    schema,
    validation,
)
from tidegate.wire.errors import Face, UnknownOperation, face
from tidegate.wire.operation import Call, Free, InTx, Params, TxCall, WireContext, WireRequest, WireResponse
from tidegate.wire.routing import Protocol, Target, identify, inflated, manner
from tidegate.wire.table import TABLE

log = logging.getLogger(__name__)

_CBOR_HEADERS = {"smithy-protocol": "rpc-v2-cbor"}
"""Without it a client does not take the answer for its own protocol's."""

ATTEMPTS = 5
"""Tries of a transaction that somebody else's write made stale."""


async def handle(
    request: WireRequest, ctx: WireContext, access_key: str = "", request_id: str = ""
) -> WireResponse:
    """Answers one request; ``access_key`` is whose signature was verified, ``request_id`` the id that it has."""
    call = Call(ctx, ctx.clock.now(), request_id or ctx.ids.new("request"), access_key)
    try:
        body = inflated(request)
        target = identify(request, body)
        service, operation = _served(target)
        params = _parse(service, target, request, body)
        members = await _perform(call, TABLE[target.service][target.operation], params)
        shape = operation.output_shape
        tidy = output_shapes.tidy(shape, members)
        if ctx.check_answers and (complaint := output_shapes.complaint(target.service, shape, tidy)):
            raise LookupError(f"the answer does not fit {target.operation}: {complaint}")
        return _answer(call, service, target, tidy)
    except TidegateError as error:
        return _refusal(call, manner(request), error)
    except Exception:
        log.exception("request %s failed: %s %s", call.request_id, request.method, request.path)
        hidden = TidegateError(f"tidegate failed on this request; its log says why under {call.request_id}")
        return _refusal(call, manner(request), hidden)


def refuse(request: WireRequest, ctx: WireContext, error: TidegateError) -> WireResponse:
    """The answer to a request that is turned away before ``handle``: not signed, too large, ..."""
    call = Call(ctx, ctx.clock.now(), ctx.ids.new("request"))
    return _refusal(call, manner(request), error)


def service_of(name: str) -> schema.Service:
    """The service model, read at the first request for it."""
    return schema.load(name, tuple(TABLE[name]))


def _served(target: Target) -> tuple[schema.Service, Any]:
    if target.service not in TABLE:
        raise UnknownOperation(f"the service '{validation.shown(target.service)}' is not served")
    service = service_of(target.service)
    if target.operation not in TABLE[target.service]:
        known = target.operation in service.all_operations
        what = validation.shown(target.operation)
        raise UnknownOperation(
            f"{what} of {target.service} is not served here yet"
            if known
            else f"{what} is no operation of {target.service}"
        )
    return service, service.operation(target.operation)


def _parse(service: schema.Service, target: Target, request: WireRequest, body: bytes) -> Params:
    shape = service.operation(target.operation).input_shape
    unknown: list[str] = []
    match target.protocol:
        case Protocol.JSON:
            params = codec_json.parse(shape, body, unknown)
        case Protocol.CBOR:
            params = codec_cbor.parse(shape, body, unknown)
        case Protocol.QUERY:
            form = codec_query.fields(body if request.method == "POST" else request.query.encode())
            params = codec_query.parse(shape, form, unknown)
        case _:
            params = codec_rest.parse(shape, target.labels, request.headers, body)
    if shape is not None:
        validation.check(service.name, shape, params, unknown)
    return params


async def _perform(call: Call, row: InTx | Free, params: Params) -> Params | None:
    if isinstance(row, Free):
        return await row.translate(call, params)
    ctx = call.ctx
    if row.before is not None:
        await row.before(call, params)

    def work(tx: Tx) -> Params | None:
        return row.translate(TxCall(ctx, call.now, call.request_id, call.access_key, tx=tx), params)

    for _ in range(ATTEMPTS):
        try:
            members = await ctx.store.run(work)
            break
        except Stale:
            continue
    else:
        raise Unavailable("others keep changing the same record: try again")
    if row.kicks:
        ctx.kick(row.kicks_under + params[row.kicks])
    return members


def _answer(call: Call, service: schema.Service, target: Target, members: Params) -> WireResponse:
    operation = service.operation(target.operation)
    shape = operation.output_shape
    if target.protocol is Protocol.REST:
        headers, members = codec_rest.split(shape, members)
        status = int(operation.http.get("responseCode", 200))
        return _response(call, status, target.content_type, codec_json.render(shape, members), headers)
    if target.protocol is Protocol.QUERY:
        body = codec_query.render(target.operation, shape, members, service.namespace, call.request_id)
    elif target.protocol is Protocol.CBOR:
        return _response(call, 200, target.content_type, codec_cbor.render(members), _CBOR_HEADERS)
    else:
        body = codec_json.render(shape, members)
    return _response(call, 200, target.content_type, body)


def _refusal(call: Call, target: Target, error: TidegateError) -> WireResponse:
    query = target.protocol is Protocol.QUERY
    shown = face(target.service, error, query=query, arn=call.arn, account=call.ctx.account)
    service = service_of(target.service) if target.service in TABLE else None
    model = service.errors.get(shown.name, {}) if service else {}
    status = shown.status or int(model.get("httpStatusCode", 400))
    code = str(model.get("code", shown.query_code))
    fault = "Receiver" if status >= 500 else "Sender"
    if query:
        namespace = service.namespace if service else ""
        body = codec_query.render_error(code, shown.message, fault, namespace, call.request_id)
        return _response(call, status, target.content_type, body)
    if target.protocol is Protocol.OPENAI:
        status = openai.status(error, status)
        return _response(call, status, target.content_type, openai.body(status, shown.name, shown.message))
    headers = {"x-amzn-ErrorType": shown.name}
    if target.query_mode:
        headers["x-amzn-query-error"] = f"{code};{fault}"
    if target.protocol is Protocol.CBOR:
        refused = codec_cbor.render({"__type": shown.name, "message": shown.message})
        return _response(call, status, target.content_type, refused, {**headers, **_CBOR_HEADERS})
    return _response(call, status, target.content_type, _error_body(target, shown), headers)


def _error_body(target: Target, shown: Face) -> bytes:
    """The runtime spells Message with a capital; clients of the other services read either."""
    key = "Message" if target.protocol is Protocol.REST else "message"
    return json.dumps({"__type": shown.name, key: shown.message}).encode()


def _response(
    call: Call, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None
) -> WireResponse:
    named = {"Content-Type": content_type, "x-amzn-RequestId": call.request_id, **(headers or {})}
    return WireResponse(status, named, body)
