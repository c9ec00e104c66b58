"""Responses that the proxy makes itself, as words of its configuration. Pure."""

import json
from collections.abc import Mapping

ENDPOINT = "%[var(txn.routes),word(1,|)]"
"""The endpoint's name, where a response is made after the request is gone."""

OWN = "!{ res.hdr(x-amzn-RequestId) -m found }"
"""True for a response that the proxy itself made: workers and the controller give every answer an id."""


def runtime_error(name: str, message: str, kind: str = "string") -> str:
    return error(name, {"Message": message, "message": message}, kind)


def error(name: str, members: Mapping[str, object], kind: str = "string") -> str:
    """A response in the words of ``http-error`` and ``return``. Quotes keep HAProxy from reading the JSON."""
    body = json.dumps(members).replace("'", "\\u0027")
    return f"content-type application/json hdr x-amzn-ErrorType {name} {kind} '{body}'"
