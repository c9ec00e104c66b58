"""Sessions of stateful models, in SageMaker's words: headers, ids and error messages. Pure.

A client asks for a session with NEW_SESSION; the container names it and says when it ends; whatever carries its id
goes to the same instance. The proxy remembers where a session is, the instance which sessions it has.
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
"""What SessionId may be. A request whose answer is streamed in events cannot begin a session."""

HOLDER_HEADER = "X-Tidegate-Session"
"""Of a request in a session: the CRC-32 of the name of the instance that has it, as the proxy knows it."""
GONE_HEADER = "x-tidegate-session"
"""Header of an instance's answer that it does not have the session; the proxy forgets where it was, and takes the
header out."""


def invalid_id_message(pattern: str) -> str:
    """``pattern``: the one that the id does not have."""
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
