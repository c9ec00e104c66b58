"""Sessions of stateful models, as in SageMaker: headers, ids and error messages. Pure.

A client opens a session with NEW_SESSION. The container names the session and ends it. Requests with its id go to the
same instance: the proxy stores which instance has a session, and the instance which sessions it has.
"""

import re

SESSION_HEADER = "X-Amzn-SageMaker-Session-Id"
NEW_SESSION_HEADER = "X-Amzn-SageMaker-New-Session-Id"
CLOSED_SESSION_HEADER = "X-Amzn-SageMaker-Closed-Session-Id"
NEW_SESSION = "NEW_SESSION"
MAX_ID_LENGTH = 256
"""Characters of an id."""

ID_PATTERN = "[a-zA-Z0-9](-*[a-zA-Z0-9])*"
PATTERN = f"^({NEW_SESSION})$|^{ID_PATTERN}$"
"""Pattern of SessionId. A request with a streamed response cannot open a session."""

HOLDER_HEADER = "X-Tidegate-Session"
"""Request header: CRC-32 of the name of the instance that has the session, according to the proxy."""
GONE_HEADER = "x-tidegate-session"
"""Response header of an instance that does not have the session. The proxy forgets the session's instance and removes
the header."""


def invalid_id_message(pattern: str) -> str:
    """``pattern``: the one that the id does not match."""
    constraint = f"Member must satisfy regular expression pattern: {pattern}"
    return f"1 validation error detected: Value at 'sessionId' failed to satisfy constraint: {constraint}"


def long_id_message() -> str:
    constraint = f"Member must have length less than or equal to {MAX_ID_LENGTH}"
    return f"1 validation error detected: Value at 'sessionId' failed to satisfy constraint: {constraint}"


def gone_message(session: str, endpoint: str) -> str:
    return (
        f"Session {session} of endpoint {endpoint} does not exist: it was closed, has expired, or its instance is"
        f" not in service any more. Start a new session with SessionId {NEW_SESSION}."
    )


def is_id(text: str) -> bool:
    return len(text) <= MAX_ID_LENGTH and re.fullmatch(ID_PATTERN, text, re.ASCII) is not None
