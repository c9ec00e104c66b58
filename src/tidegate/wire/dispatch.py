"""Entry point of AWS API requests: identify, parse, validate, translate, answer.

The caller's signature has been verified before. Every outcome is an answer; nothing is raised.
"""

import json
import logging
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

from tidegate.domain.access import Access, Caller
from tidegate.domain.errors import AuthError, Invalid, NotFound, TidegateError, Unavailable
from tidegate.host.features import describe_switched_off, features
from tidegate.ports.store import Stale, Tx
from tidegate.service.audit_trail import AuditDetails, RequestedOperation, Trail
from tidegate.wire import codec_cbor, codec_json, codec_query, output_shapes, schema, validation
from tidegate.wire.errors import NamedError, UnknownOperation, WireError, to_wire_error
from tidegate.wire.operation import (
    AsyncOperation,
    OperationCall,
    Params,
    TxCall,
    TxOperation,
    WireContext,
    WireRequest,
    WireResponse,
)
from tidegate.wire.routing import RequestTarget, WireProtocol, guess_target, identify, inflate
from tidegate.wire.table import TABLE, find_switched_off

log = logging.getLogger(__name__)

_CBOR_HEADERS = {"smithy-protocol": "rpc-v2-cbor"}
"""Clients reject a CBOR answer without this header."""

_NAMES = ("Name", "Names", "Arn")
"""How members end that name what a request concerns."""

MAX_ATTEMPTS = 5
"""Attempts at a transaction that concurrent writes keep making stale."""


@dataclass(frozen=True)
class Guard:
    """Lets a request happen or refuses it, once its operation is known. ``source``: address that it comes from."""

    trail: Trail
    caller: Caller
    source: str = ""

    def allowing(
        self, target: RequestTarget, access: Access, params: Params
    ) -> AbstractAsyncContextManager[AuditDetails]:
        action = f"{target.service}:{target.operation}"
        return self.trail.allowing(
            RequestedOperation(self.caller, access, action, name_subject(params), self.source)
        )


def name_subject(params: Params) -> str:
    """Name of what a request concerns: of its members the resource, or else the first that is called a name."""
    named = (params.get("ResourceId"), *(value for name, value in params.items() if name.endswith(_NAMES)))
    found = next((value for value in named if value), "")
    return ", ".join(map(str, found)) if isinstance(found, list) else str(found)


async def handle(request: WireRequest, ctx: WireContext, guard: Guard, request_id: str = "") -> WireResponse:
    """Answer one request, whose id is ``request_id``."""
    id = request_id or ctx.ids.new("request")
    call = OperationCall(ctx, ctx.clock.now(), id, guard.caller.name, request.headers)
    try:
        body = inflate(request)
        target = identify(request, body)
        service, operation = _find_operation(target)
        params = parse(service, target, request, body)
        row = TABLE[target.service][target.operation]
        _refuse_switched_off(target, params)
        async with guard.allowing(target, row.access, params):
            members = await _perform(call, row, params)
        shape = operation.output_shape
        tidy = output_shapes.drop_empty(shape, members)
        if ctx.check_answers and (complaint := output_shapes.find_shape_error(target.service, shape, tidy)):
            raise LookupError(f"the answer does not match the output shape of {target.operation}: {complaint}")
        return _render_answer(call, service, target, tidy)
    except TidegateError as error:
        return _render_refusal(call, guess_target(request), error)
    except Exception:
        log.exception("request %s failed: %s %s", call.request_id, request.method, request.path)
        hidden = TidegateError(f"internal error; see tidegate's log under request id {call.request_id}")
        return _render_refusal(call, guess_target(request), hidden)


def refuse(request: WireRequest, ctx: WireContext, error: TidegateError, request_id: str = "") -> WireResponse:
    """The answer to a request that was rejected before ``handle``: unsigned, too large and so on."""
    call = OperationCall(ctx, ctx.clock.now(), request_id or ctx.ids.new("request"))
    return _render_refusal(call, guess_target(request), error)


def load_service(name: str) -> schema.ServedService:
    """Load the service model; it is read on the first request for it."""
    return schema.load(name, tuple(TABLE[name]))


def _refuse_switched_off(target: RequestTarget, params: Params) -> None:
    """Raises Invalid for a member of a feature that is off."""
    for one in features().switched_off:
        for member in one.feature.members.get(f"{target.service}:{target.operation}", ()):
            if params.get(member):
                raise Invalid(f"{member}: {describe_switched_off(one.feature.name)}")


def _find_operation(target: RequestTarget) -> tuple[schema.ServedService, Any]:
    if target.service not in TABLE:
        raise UnknownOperation(f"the service '{validation.abbreviate(target.service)}' is not served")
    service = load_service(target.service)
    if target.operation not in TABLE[target.service]:
        if (feature := find_switched_off(target.service, target.operation)) is not None:
            raise UnknownOperation(f"{target.operation}: {describe_switched_off(feature)}")
        known = target.operation in service.all_operations
        what = validation.abbreviate(target.operation)
        raise UnknownOperation(
            f"{what} of {target.service} is not supported yet"
            if known
            else f"{what} is not an operation of {target.service}"
        )
    return service, service.operation(target.operation)


def parse(service: schema.ServedService, target: RequestTarget, request: WireRequest, body: bytes) -> Params:
    """Parse and validate the members of a request. Raises Invalid."""
    shape = service.operation(target.operation).input_shape
    unknown: list[str] = []
    match target.protocol:
        case WireProtocol.JSON:
            params = codec_json.parse(shape, body, unknown)
        case WireProtocol.CBOR:
            params = codec_cbor.parse(shape, body, unknown)
        case WireProtocol.QUERY:
            form = codec_query.parse_form(body if request.method == "POST" else request.query.encode())
            params = codec_query.parse(shape, form, unknown)
        case _:
            params = codec_json.parse_rest(shape, target.labels, request.headers, body)
    if shape is not None:
        validation.check(service.name, shape, params, unknown)
    return params


async def _perform(call: OperationCall, row: TxOperation | AsyncOperation, params: Params) -> Params | None:
    if isinstance(row, AsyncOperation):
        return await row.translate(call, params)
    ctx = call.ctx
    found = await row.before(call, params) if row.before is not None else None

    def work(tx: Tx) -> Params | None:
        return row.translate(TxCall(ctx, call.now, call.request_id, call.caller, tx=tx, found=found), params)

    transact = ctx.store.run if row.access.is_change or row.access is Access.USE else ctx.store.read
    for _ in range(MAX_ATTEMPTS):
        try:
            members = await transact(work)
            break
        except Stale:
            continue
    else:
        raise Unavailable("concurrent changes to the same record: try again")
    if row.kicks:
        ctx.kick(row.kicks_under + params[row.kicks])
    return members


def _render_answer(
    call: OperationCall, service: schema.ServedService, target: RequestTarget, members: Params
) -> WireResponse:
    operation = service.operation(target.operation)
    shape = operation.output_shape
    if target.protocol is WireProtocol.REST:
        headers, members = codec_json.split_headers(shape, members)
        status = int(operation.http.get("responseCode", 200))
        return _make_response(call, status, target.content_type, codec_json.render(shape, members), headers)
    if target.protocol is WireProtocol.QUERY:
        body = codec_query.render(target.operation, shape, members, service.namespace, call.request_id)
    elif target.protocol is WireProtocol.CBOR:
        return _make_response(call, 200, target.content_type, codec_cbor.render(members), _CBOR_HEADERS)
    else:
        body = codec_json.render(shape, members)
    return _make_response(call, 200, target.content_type, body)


def _render_refusal(call: OperationCall, target: RequestTarget, error: TidegateError) -> WireResponse:
    query = target.protocol is WireProtocol.QUERY
    shown = to_wire_error(target.service, error, query=query, arn=call.arn, account=call.ctx.account)
    service = load_service(target.service) if target.service in TABLE else None
    if service is not None and isinstance(error, NamedError) and not _is_modelled(service, target, shown.name):
        shown = replace(shown, name="ValidationException", query_code="ValidationException")
    model = service.errors.get(shown.name, {}) if service else {}
    status = shown.status or int(model.get("httpStatusCode", 400))
    code = str(model.get("code", shown.query_code))
    fault = "Receiver" if status >= 500 else "Sender"
    if query:
        namespace = service.namespace if service else ""
        body = codec_query.render_error(code, shown.message, fault, namespace, call.request_id)
        return _make_response(call, status, target.content_type, body)
    if target.protocol is WireProtocol.OPENAI:
        status = error_status(error, status)
        return _make_response(call, status, target.content_type, render_error(status, shown.name, shown.message))
    headers = {"x-amzn-ErrorType": shown.name}
    if target.query_mode:
        headers["x-amzn-query-error"] = f"{code};{fault}"
    if target.protocol is WireProtocol.CBOR:
        refused = codec_cbor.render({"__type": shown.name, "message": shown.message})
        return _make_response(call, status, target.content_type, refused, {**headers, **_CBOR_HEADERS})
    return _make_response(call, status, target.content_type, _render_error_body(target, shown), headers)


def _is_modelled(service: schema.ServedService, target: RequestTarget, name: str) -> bool:
    """Whether an operation of SageMaker can raise the error. Everything else that it refuses is a
    ValidationException, also what does not exist: Amazon's controllers for Kubernetes give up at a
    ResourceNotFound."""
    if service.name != "sagemaker" or not target.operation:
        return True
    return name in service.errors_of.get(target.operation, ())


def _render_error_body(target: RequestTarget, shown: WireError) -> bytes:
    """The runtime API spells Message with a capital letter; clients of the other services read either."""
    key = "Message" if target.protocol is WireProtocol.REST else "message"
    return json.dumps({"__type": shown.name, key: shown.message}).encode()


def _make_response(
    call: OperationCall, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None
) -> WireResponse:
    named = {"Content-Type": content_type, "x-amzn-RequestId": call.request_id, **(headers or {})}
    return WireResponse(status, named, body)


# Errors in the format of OpenAI's API. The proxy routes predictions of served endpoints, so a request that arrives
# here only needs to be told why it is not served.


_TYPES = {401: "authentication_error", 404: "not_found_error"}


def error_status(error: TidegateError, default: int) -> int:
    if isinstance(error, NotFound):
        return 404
    return 401 if isinstance(error, AuthError) else default


def render_error(status: int, name: str, message: str) -> bytes:
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": name}}).encode()
