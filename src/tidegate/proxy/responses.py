"""The proxy's own responses, in the syntax of its configuration. Pure."""

import json
from collections.abc import Mapping

ENDPOINT = "%[var(txn.routes),word(1,|)]"
"""The endpoint's name, for responses made after the request is gone."""

PROXY_MADE = "!{ res.hdr(x-amzn-RequestId) -m found }"
"""True for responses made by the proxy: workers and the controller give every response an id."""

UNSPENT = "x-tidegate-unspent"
"""A worker's header on responses sent before it verified the client. It is removed on the way to the client."""


def runtime_error(name: str, message: str, kind: str = "string") -> str:
    return error_response(name, {"Message": message, "message": message}, kind)


OPENAI = """\
  http-request set-var-fmt(txn.open) '{"error": ' if !{ var(txn.routes) -m found } { path,field(4,/) -m str v1 }
"""
"""Marks requests to OpenAI's API, whose clients expect the error one level deeper."""
COPY = "{ var(txn.copy) -m found }"
"""True for a copy by which two versions are compared: nothing that becomes of it is a request of the version."""
AWS = "!{ var(txn.open) -m found }"
"""True for all other requests."""
_KINDS = {"ThrottlingException": "rate_limit_error"}


def quote(text: str) -> str:
    """Quote a word so that HAProxy takes it literally."""
    return "'" + text.replace("'", "'\\''") + "'"


def retry_response(name: str, message: str, seconds: str) -> str:
    """A backend's response that says when to retry (after ``seconds``), in AWS's or OpenAI's format."""
    return aws_or_openai_response(
        name, {"Message": message, "message": message}, name, _KINDS.get(name, "server_error"), seconds
    )


def aws_or_openai_response(name: str, members: Mapping[str, object], code: str, kind: str, again: str = "") -> str:
    """A response in AWS's or OpenAI's format. It has the members of both, since only the surrounding text depends on
    the request. ``again``: seconds after which to retry."""
    body = json.dumps({**members, "type": kind, "param": None, "code": code}).replace("'", "\\u0027")
    headers = f"hdr x-amzn-ErrorType {name}" + (f" hdr Retry-After {again}" if again else "")
    close = "%[var(txn.open),length,bool,iif(},)]"
    return f"content-type application/json {headers} lf-string '%[var(txn.open)]{body}{close}'"


def universal_response(name: str, message: str, kind: str) -> str:
    """A response that clients of every JSON protocol here can parse: AWS's, OpenAI's and tidegate's."""
    told = {"code": name, "message": message, "type": kind, "param": None}
    return error_response(name, {"__type": name, "Message": message, "message": message, "error": told})


def error_response(name: str, members: Mapping[str, object], kind: str = "string") -> str:
    """A response in the syntax of ``http-error`` and ``return``. Quotes keep HAProxy from interpreting the JSON."""
    body = json.dumps(members).replace("'", "\\u0027")
    return f"content-type application/json hdr x-amzn-ErrorType {name} {kind} '{body}'"
