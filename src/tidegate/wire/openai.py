"""Errors in the format of OpenAI's API. The proxy routes predictions of served endpoints, so a request that arrives
here only needs to be told why it is not served."""

import json

from tidegate.domain.errors import AuthError, NotFound, TidegateError

_TYPES = {401: "authentication_error", 404: "not_found_error"}


def error_status(error: TidegateError, default: int) -> int:
    if isinstance(error, NotFound):
        return 404
    return 401 if isinstance(error, AuthError) else default


def render_error(status: int, name: str, message: str) -> bytes:
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": name}}).encode()
