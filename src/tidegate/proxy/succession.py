"""Rules by which a process from before a reload passes requests that still reach it on to its successor.

A client's idle connection stays with the process that accepted it. That one does not know endpoints that were made
since, and the routes that it knows are those from before: its next request could get 503, or a version that was
rolled back. So the process hands requests to its successor and closes the connection with the answer: predictions of
the public port with the client's address, on a socket of their own; copies and queued requests on the sockets that
they came from, which the successor listens on now. It therefore gives no new request to a server, and nobody needs
to wait for its idle connections. Where all processes leave there is no successor: then each answers what it has
accepted.
"""

from tidegate.proxy.options import Options
from tidegate.proxy.responses import retry_response

SOCKET = "successor"
"""Name of the socket that only this proxy's processes use: headers of the proxy that come there are its own."""
LEAVING = "leaving.map"
"""Map with an entry once there will be no successor."""
ENTRY = "all"

SUCCEEDED = f"{{ stopping }} !{{ str({ENTRY}),map({LEAVING}) -m found }}"
"""True in a process that has a successor."""
COPIES, QUEUED = "successor_copies", "successor_queued"
"""Backends of the newest process's sockets for copies and for queued requests."""


def render_public(options: Options) -> str:
    """Render the socket on which a process accepts requests from an older one, and the first request rules, by which
    an older process passes its requests on. All other rules are applied by the newest process."""
    if not options.successor:
        return ""
    old = f"{SUCCEEDED} METH_POST {{ path -m beg {' '.join(('/endpoints/', *options.further.prefixes))} }}"
    return f"""\
  bind unix@{options.successor} mode 600 accept-proxy name {SOCKET}
  http-request del-header X-Tidegate- -m beg if {old} !{{ so_name {SOCKET} }}
  http-request allow if {old}
  use_backend successor if {old}
"""


def render_private(options: Options, backend: str) -> str:
    """Render the same rules for a private socket, which is passed on to the newest process itself."""
    if not options.successor:
        return ""
    return f"""\
  http-request allow if {SUCCEEDED}
  use_backend {backend} if {SUCCEEDED}
"""


def render_backends(options: Options, queued: int) -> str:
    """``queued``: seconds that a queued request may take."""
    usual = options.timeout + 60
    return "\n".join(
        (
            _render_backend("successor", f"{options.successor} send-proxy-v2", usual),
            _render_backend(COPIES, options.copies, usual),
            _render_backend(QUEUED, options.queued, queued),
        )
    )


def _render_backend(name: str, server: str, seconds: int) -> str:
    gone = retry_response("ServiceUnavailable", "The proxy is being restarted; try again.", "1")
    return f"""\
backend {name} from all
  timeout connect 1s
  timeout server {seconds}s
  http-reuse never
  option abortonclose
  retries 2
  retry-on conn-failure
  http-error status 503 {gone}
  server successor unix@{server}
"""
