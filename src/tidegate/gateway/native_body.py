"""Types of what operations of the native API take and answer. The members that a body may have, and the OpenAPI
document, follow from them."""

import sys
from collections.abc import Awaitable, Callable, Collection
from dataclasses import MISSING, dataclass, fields
from functools import cache, wraps
from inspect import getdoc
from typing import Any, TypedDict, TypeVar, get_type_hints

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tidegate.domain.decoding import prepare_type
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import parse_json_object

Handler = Callable[[Gateway, Request], Awaitable[Response]]
BodyHandler = Callable[[Gateway, Request, dict[str, Any]], Awaitable[Response]]
H = TypeVar("H", bound=Callable[..., Any])


class EmptyBody(TypedDict):
    """No members."""


class ReasonBody(TypedDict, total=False):
    """A reason, which the audit records."""

    reason: str


class RequesterBody(TypedDict, total=False):
    """The requester for the journal, if nobody is signed in."""

    by: str


class JournaledBody(RequesterBody, ReasonBody, total=False):
    """The requester and the reason, for the journal."""


class PurposeBody(JournaledBody, total=False):
    """A command for a rollout. It is refused if another one, or another stage, is in progress."""

    rollout: str | None
    stage: int | None


def derive_body(name: str, kind: type, left_out: Collection[str]) -> type:
    """Make the type of a body that has the fields of a dataclass but for some, which do not come from the caller."""
    hints = get_type_hints(kind, include_extras=True)
    members = [one for one in fields(kind) if one.name not in left_out]
    described = [(one.name, hints[one.name]) for one in members if one.default is MISSING]
    optional = [(one.name, hints[one.name], one.default) for one in members if one.default is not MISSING]
    return msgspec.defstruct(name, [*described, *optional], namespace={"__doc__": getdoc(kind)})


@dataclass(frozen=True)
class OperationTypes:
    """``body``: a TypedDict, a dataclass or a Struct; None: no JSON is taken. ``answer``: None: not described."""

    body: type | None = None
    answer: Any = None


UNDESCRIBED = OperationTypes()


def find_types(handler: object) -> OperationTypes:
    return getattr(handler, "operation_types", UNDESCRIBED)


@cache
def list_members(body: type) -> tuple[str, ...]:
    """The names of the members of a body."""
    return tuple(get_type_hints(body))


def answers(answer: Any) -> Callable[[H], H]:
    """Describe what a handler answers."""

    def decorate(handle: H) -> H:
        handle.operation_types = OperationTypes(answer=answer)  # type: ignore[attr-defined]
        return handle

    return decorate


def takes(body: type, answer: Any = None) -> Callable[[BodyHandler], Handler]:
    """Give a handler the JSON object of a request, which has no members but those of ``body``. The handler checks
    their values, since its messages say more than a type."""

    def decorate(handle: BodyHandler) -> Handler:
        @wraps(handle)
        async def parse(gateway: Gateway, request: Request) -> Response:
            given = parse_json_object(request, list_members(body))
            response = await handle(gateway, request, given)
            if gateway.context.check_answers:
                check_described(given, body)
            return response

        parse.operation_types = OperationTypes(body, answer)  # type: ignore[attr-defined]
        return parse

    return decorate


def check_described(given: dict[str, Any], body: type) -> None:
    """Check, for debugging, that what a handler accepted is what its type describes. Raises AssertionError."""
    try:
        msgspec.convert({name: _bound(value) for name, value in given.items()}, prepare_type(body))
    except msgspec.ValidationError as error:
        raise AssertionError(f"{body.__name__} does not describe what was accepted: {error}") from None


def _bound(value: Any) -> Any:
    """Replace a number that msgspec cannot hold by the largest that it can: JSON has no bounds."""
    if type(value) is int and abs(value) > sys.maxsize:
        return sys.float_info.max if value > 0 else -sys.float_info.max
    return value
