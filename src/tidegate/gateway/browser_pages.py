"""Responses to a browser outside the console's own pages: the redirect from ``/``, and errors that can be read.

A browser is recognised by the ``Accept`` header of a page request, which names HTML; clients of AWS's APIs and of the
native API do not.
"""

from html import escape
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from tidegate.domain.errors import MissingAuthentication, SessionEnded, TidegateError
from tidegate.domain.feature import Menu
from tidegate.gateway.error_responses import status_of
from tidegate.gateway.paths import CONSOLE, LOGIN
from tidegate.host.features import features

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Loads nothing from other sites and runs no inline scripts."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-cache",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
NEGOTIATED = {"vary": "Accept"}


def redirect(scope: Scope) -> Response | None:
    """Return a redirect to the console for a browser at ``/``, and to ``/console`` for ``/console/``; None if no
    redirect applies. A query makes ``/`` a call of AWS's Query protocol."""
    if scope["method"] not in ("GET", "HEAD"):
        return None
    if scope["path"] == f"{CONSOLE}/":
        query = scope["query_string"].decode("latin-1")
        return RedirectResponse(f"{CONSOLE}?{query}" if query else CONSOLE, 308)
    if scope["path"] == "/" and not scope["query_string"] and accepts_html(scope):
        return RedirectResponse(CONSOLE, 303, headers=NEGOTIATED)
    return None


def wants_page(scope: Scope) -> bool:
    """Whether an error is to be a page: a browser asked for ``/`` or for something of the console."""
    path = scope["path"]
    here = path == CONSOLE or path.startswith(f"{CONSOLE}/") or (path == "/" and not scope["query_string"])
    return here and scope["method"] in ("GET", "HEAD") and accepts_html(scope)


def accepts_html(scope: Scope) -> bool:
    """Whether ``Accept`` names text/html. ``*/*`` does not count: every client sends it."""
    for given in Headers(scope=scope).getlist("accept"):
        for part in given.split(","):
            kind, _, parameters = part.partition(";")
            if kind.strip().lower() == "text/html" and _quality(parameters) > 0:
                return True
    return False


def to_login(scope: Scope, error: TidegateError) -> Response | None:
    """Return a redirect to the login for somebody who is not signed in; None if the error is another one."""
    if not isinstance(error, MissingAuthentication | SessionEnded):
        return None
    query = scope["query_string"].decode("latin-1")
    wanted = scope["path"] if scope["path"] != "/" else CONSOLE
    target = quote(f"{wanted}?{query}" if query else wanted, safe="")
    ended = "&ended=1" if isinstance(error, SessionEnded) else ""
    return RedirectResponse(
        f"{LOGIN}?next={target}{ended}", 303, headers={**NEGOTIATED, "cache-control": "no-store"}
    )


def error_page(error: TidegateError) -> Response:
    status = status_of(error)
    title = "There is no such page" if status == 404 else "This did not work"
    links = [link for loaded in features() for link in loaded.feature.links if link.menu is Menu.TOP]
    pages = [(CONSOLE, "Endpoints"), *((one.path, one.title) for one in sorted(links, key=lambda one: one.place))]
    items = "".join(f'<li><a href="{path}">{escape(name)}</a></li>' for path, name in pages)
    page = f"""<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title} · tidegate</title>
  <link rel="icon" href="{CONSOLE}/static/mark.svg" type="image/svg+xml">
  <link rel="stylesheet" href="{CONSOLE}/static/console.css">
</head>
<body>
  <header class="top"><div>
    <a class="brand" href="{CONSOLE}">tidegate</a>
    <nav aria-label="Pages"><ul>{items}</ul></nav>
  </div></header>
  <main id="content">
    <h1>{title}</h1>
    <div class="notice bad" role="alert"><p>{escape(error.message)}</p></div>
  </main>
</body>
</html>
"""
    return HTMLResponse(page, status, headers={**HEADERS, **NEGOTIATED})


def _quality(parameters: str) -> float:
    for one in parameters.split(";"):
        name, _, value = one.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
