"""Parses requests for packages that know nothing of ASGI."""

import json
import re
from collections.abc import Collection
from typing import Any, cast

from starlette.requests import Request
from starlette.types import Scope

from tidegate.auth.sigv4 import RequestParts
from tidegate.domain.access import Caller, Means
from tidegate.domain.errors import Invalid, NotFound
from tidegate.service.rollouts import Purpose
from tidegate.wire.operation import WireRequest

MAX_DEPTH = 64
"""Maximum nesting of a JSON body; a spec file needs ten levels."""
MAX_REQUESTER = 128
MAX_REASON = 500
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


def to_signed_parts(scope: Scope, body: bytes) -> RequestParts:
    return RequestParts(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        body=body,
    )


def to_wire_request(scope: Scope, body: bytes) -> WireRequest:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return WireRequest(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
    )


def parse_endpoint_name(request: Request) -> str:
    """The endpoint name in the path. File names are derived from it, so anything that is not a valid name raises
    NotFound."""
    name: str = request.path_params["name"]
    if not NAME.fullmatch(name):
        raise NotFound(f"invalid endpoint name {name!r}: names are 1 to 63 letters, digits and inner hyphens")
    return name


def parse_number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number from the query string."""
    given = request.query_params.getlist(name) or [str(default)]
    if len(given) > 1:  # signatures do not cover their order
        raise Invalid(f"{name} occurs {len(given)} times in the query: give it once")
    text = given[0]
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
        raise Invalid(f"{name}={text!r}: expected a whole number from {low} to {high}")
    return int(text)


def parse_flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Invalid(f"'{name}' must be true or false")
    return value


def parse_requester(request: Request, body: dict[str, Any]) -> str:
    """The requester for the journal: the user who is signed in, or as given in the request, with the key that signed
    it."""
    said, caller = body.get("by", ""), cast(Caller, request.state.caller)
    if not isinstance(said, str) or len(said) > MAX_REQUESTER or (said and not said.isprintable()):
        raise Invalid(f"'by' must be text of at most {MAX_REQUESTER} printable characters")
    if caller.means in (Means.SESSION, Means.TOKEN):
        return caller.shown
    return f"{said} ({caller.name})" if said and caller.name else said or caller.name or "somebody"


def parse_purpose(body: dict[str, Any]) -> Purpose:
    """Why a rollout command is given, and for which rollout and stage; nothing of it is required."""
    reason, rollout, stage = body.get("reason", ""), body.get("rollout"), body.get("stage")
    if not isinstance(reason, str) or len(reason) > MAX_REASON or (reason and not reason.isprintable()):
        raise Invalid(f"'reason' must be text of at most {MAX_REASON} printable characters, on one line")
    if rollout is not None and not isinstance(rollout, str):
        raise Invalid("'rollout' must be the id of a rollout")
    if stage is not None and (not isinstance(stage, int) or isinstance(stage, bool)):
        raise Invalid("'stage' must be the number of a stage")
    return Purpose(reason.strip(), rollout, stage)


def parse_json_object(request: Request, known: Collection[str]) -> dict[str, Any]:
    """Parse the JSON object in the body, which may have ``known`` members; ``{}`` for an empty body. Raises Invalid.

    The body must be declared as JSON, since a web page of another site could send a form or plain text.
    """
    body: bytes = request.state.body
    if not body:
        return {}
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json":
        raise Invalid(f"Content-Type is '{kind.strip()}': send application/json")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if charset not in ("", "utf-8", "utf8"):
        raise Invalid(f"the body's charset is '{charset}': send UTF-8")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Invalid("a compressed body is not supported: send it uncompressed")
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_reject_constant)
    except UnicodeDecodeError as error:
        raise Invalid(f"the body is not UTF-8: byte {error.start} cannot be read") from None
    except ValueError as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise Invalid(f"the body is nested more than {MAX_DEPTH} levels deep") from None
    if not isinstance(data, dict):
        raise Invalid("the body must be a JSON object")
    _check_text(data)
    if strangers := sorted(data.keys() - known):
        raise Invalid(
            f"'{strangers[0][:80]}' is not a member of this request; expected {', '.join(sorted(known))}"
        )
    return data


def _reject_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not a JSON number")


def _check_text(data: object) -> None:
    """Check the depth, and that databases and files can store the text."""
    level: list[object] = [data]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item.keys(), *item.values()]
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str) and UNSTORABLE.search(item):
                raise Invalid("the body has text with a NUL or an unpaired surrogate: send valid UTF-8 text")
        if not below:
            return
        level = below
    raise Invalid(f"the body is nested more than {MAX_DEPTH} levels deep")
