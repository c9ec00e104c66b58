"""Accept only request targets (path and query) that have exactly one spelling. Pure.

Routing, signature verification and the container behind an endpoint must read the same path from the same bytes.
Whatever two parties could read differently is therefore refused, not normalised: dot segments, empty segments,
``;`` parameters, backslashes, percent-encoded slashes, dots, percent signs, control characters, non-ASCII text and
characters that need no encoding (``%61``), lower-case hexadecimal digits, and targets in absolute form
(``GET http://host/path``).

HAProxy, the controller and every worker each apply these patterns, by searching. They use the common subset of
Python's, PCRE's and POSIX's regular expressions, so that there is one definition. No group is repeated: PCRE 8 would
recurse once per character, and a long path would overflow HAProxy's stack."""

import re

from tidegate.domain.errors import Invalid

FORBIDDEN_IN_PATH = (
    r"^$|^[^/]|//|/\.\.?(/|$)"
    # Characters that RFC 3986 does not allow in a path unencoded, and the semicolon.
    "|[^A-Za-z0-9._~!$&'()*+,=:@%/-]"
    # Encodings of anything but printable ASCII that is neither unreserved nor one of %, /, ; and \\.
    "|%([^2-7]|2[^0-46-9A-C]|3[^AC-F]|4[^0]|5[^BDE]|6[^0]|7[^B-D]|.?$)"
)
FORBIDDEN_IN_QUERY = (
    # Control characters, space, ", #, <, >, backslash and non-ASCII bytes.
    "[^]!$-;=?-[^-~]"
    # Encodings that are malformed, and NUL.
    "|%([^0-9A-Fa-f]|.[^0-9A-Fa-f]|00|.?$)"
)
_in_path, _in_query = re.compile(FORBIDDEN_IN_PATH), re.compile(FORBIDDEN_IN_QUERY)

MESSAGE = (
    "The request's path or query is not in canonical form: a path begins with '/', has no empty or dot segment, no"
    " ';' and no backslash, and percent-encodes (in upper case) only what must be encoded, never a slash, dot,"
    " percent sign, control character or non-ASCII text; a query is percent-encoded ASCII without NUL."
)


def is_canonical(path: str, query: str = "") -> bool:
    """``path`` still percent-encoded, ``query`` without its ``?``."""
    return _in_path.search(path) is None and not (query and _in_query.search(query))


def check(path: str, query: str = "") -> None:
    """Raises Invalid for a target that is not canonical."""
    if not is_canonical(path, query):
        raise Invalid(MESSAGE)
