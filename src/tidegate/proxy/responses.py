"""Responses that the proxy makes itself, as words of its configuration. Pure."""

import json
from collections.abc import Mapping

ENDPOINT = "%[var(txn.routes),word(1,|)]"
"""The endpoint's name, where a response is made after the request is gone."""

PROXY_MADE = "!{ res.hdr(x-amzn-RequestId) -m found }"
"""True for a response that the proxy itself made: workers and the controller give every answer an id."""

UNSPENT = "x-tidegate-unspent"
"""A worker's header on what it refuses before it knows who asks. It does not leave."""


def runtime_error(name: str, message: str, kind: str = "string") -> str:
    return error_response(name, {"Message": message, "message": message}, kind)


OPENAI = """\
  http-request set-var-fmt(txn.open) '{"error": ' if !{ var(txn.routes) -m found } { path,field(4,/) -m str v1 }
"""
"""Marks a request in OpenAI's manner, whose clients look for an error one level deeper."""
AWS = "!{ var(txn.open) -m found }"
"""True for all other requests."""
_KINDS = {"ThrottlingException": "rate_limit_error"}


def quote(text: str) -> str:
    """A word of the configuration that HAProxy takes as it is."""
    return "'" + text.replace("'", "'\\''") + "'"


def retry_response(name: str, message: str, seconds: str) -> str:
    """A response of a backend that says when to try again (``seconds``), in AWS's form or in OpenAI's."""
    return aws_or_openai_response(
        name, {"Message": message, "message": message}, name, _KINDS.get(name, "server_error"), seconds
    )


def aws_or_openai_response(name: str, members: Mapping[str, object], code: str, kind: str, again: str = "") -> str:
    """A response in AWS's form or in OpenAI's. The members of both are there, since what was asked is known only by
    what surrounds them. ``again``: seconds after which to try again."""
    body = json.dumps({**members, "type": kind, "param": None, "code": code}).replace("'", "\\u0027")
    headers = f"hdr x-amzn-ErrorType {name}" + (f" hdr Retry-After {again}" if again else "")
    close = "%[var(txn.open),length,bool,iif(},)]"
    return f"content-type application/json {headers} lf-string '%[var(txn.open)]{body}{close}'"


def universal_response(name: str, message: str, kind: str) -> str:
    """A response that clients of every JSON protocol here can read: AWS's, OpenAI's and tidegate's own."""
    told = {"code": name, "message": message, "type": kind, "param": None}
    return error_response(name, {"__type": name, "Message": message, "message": message, "error": told})


def error_response(name: str, members: Mapping[str, object], kind: str = "string") -> str:
    """A response in the words of ``http-error`` and ``return``. Quotes keep HAProxy from reading the JSON."""
    body = json.dumps(members).replace("'", "\\u0027")
    return f"content-type application/json hdr x-amzn-ErrorType {name} {kind} '{body}'"
