"""Who reads a page, and which buttons it has for them."""

from dataclasses import dataclass

from starlette.requests import Request

from tidegate.domain.access import Access, Caller, Means
from tidegate.gateway.browser_pages import HEADERS


@dataclass(frozen=True)
class Reader:
    """Reader of a page. ``signed_in`` means with a session, whose ``csrf`` token the page sends with changes. Without
    a login everybody may do everything."""

    name: str
    role: str
    csrf: str
    signed_in: bool
    may_operate: bool
    may_inspect: bool


def page_headers(request: Request) -> dict[str, str]:
    """Return the headers of a page. If the user is signed in, the browser does not keep the page after they sign
    out."""
    signed_in = identify_reader(request).signed_in
    return {**HEADERS, "cache-control": "no-store"} if signed_in else dict(HEADERS)


def identify_reader(request: Request) -> Reader:
    caller: Caller = request.state.caller
    return Reader(
        caller.shown,
        str(caller.role or ""),
        caller.csrf,
        caller.means is Means.SESSION,
        caller.may(Access.CHANGE),
        caller.may(Access.INSPECT),
    )
