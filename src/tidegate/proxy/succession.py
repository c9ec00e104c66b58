"""What a process from before a reload does with requests that still come to it.

A client's idle connection stays with the process that accepted it. That one does not know endpoints that were made
since, and the routes that it knows are those from before: its next request could get 503, or a version that was
rolled back. So the process hands predictions to its successor, with the client's address, and closes the connection
with the answer. Where all processes leave there is no successor: then each answers what it has accepted.
"""

from tidegate.proxy.options import Options
from tidegate.proxy.responses import retry_response

LEAVING = "leaving.map"
"""Map with an entry once there will be no successor."""
ENTRY = "all"

OLD = f"{{ stopping }} METH_POST {{ path -m beg /endpoints/ }} !{{ str({ENTRY}),map({LEAVING}) -m found }}"


def render_public(options: Options) -> str:
    """Where a process takes what an older one hands over, and the first rules of requests, by which an older one
    does. All other rules are the newest process's to apply."""
    if not options.successor:
        return ""
    return f"""\
  bind unix@{options.successor} mode 600 accept-proxy
  http-request allow if {OLD}
  use_backend successor if {OLD}
"""


def render_backend(options: Options) -> str:
    gone = retry_response("ServiceUnavailable", "The proxy is being restarted; try again.", "1")
    return f"""\
backend successor from all
  timeout connect 1s
  timeout server {options.timeout + 60}s
  http-reuse never
  retries 2
  retry-on conn-failure
  http-error status 503 {gone}
  server successor unix@{options.successor} send-proxy-v2
"""
