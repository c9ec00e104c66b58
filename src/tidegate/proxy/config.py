"""Renders haproxy.cfg and routes.map from a state. Pure; for HAProxy 2.8 and later.

A prediction passes, in this order: the route map (no entry: it goes to the controller), the check for a signature or,
without access keys, for another site's web page, the body limit, the time stamp, the requested variant, the split by
weights, and a server of the slot's backend. Every prediction pays for each step, so those that need none of the
checks pass them by (``usual_requests``), the rules for several routes come last and an endpoint with a single fleet
skips them. For the same reason the request target is checked only if it was
not found in the map literally: the map's keys are canonical.

A streamed answer is forwarded as it arrives; only a request without a response byte is retried on a second server.
"""

import re
from collections.abc import Iterable
from functools import partial

from tidegate.auth import request_target
from tidegate.domain.admission import DEFAULT_QUEUE_TIME
from tidegate.domain.arns import resource_arn
from tidegate.domain.errors import StartupError, TargetRefused
from tidegate.domain.sessions import GONE_HEADER
from tidegate.domain.worker_stats import PAIR_PATH
from tidegate.proxy import cold_start_hold, frontend_rules, pools, rate_limits, sessions, succession
from tidegate.proxy.frontend_rules import SIGNED, render_same_site_rules
from tidegate.proxy.options import Options
from tidegate.proxy.responses import (
    COPY,
    ENDPOINT,
    OPENAI,
    PROXY_MADE,
    UNSPENT,
    aws_or_openai_response,
    error_response,
    quote,
    retry_response,
    runtime_error,
    universal_response,
)
from tidegate.proxy.routes import MAX_ROUTES, route_entries
from tidegate.proxy.state import ON_DEMAND, ProxyState

CONFIG, MAP, FLEETS, STATE = "haproxy.cfg", "routes.map", "fleets.map", "proxy.json"
"""Files in the proxy's folder, which is HAProxy's working directory."""

KEEP_ALIVE = 50
"""Seconds that a client's idle connection stays open. Below the drain timeout, so that a connection that keeps an old
HAProxy process alive ends before the fleets that it could be routed to."""

PLAIN_PATH = "path,field(1,/,3),concat(/invocations)"
"""Maps a path under /endpoints/NAME to its key in the route map."""

OTHER_PATHS = "{ path,field(4,/) -m str invocations-response-stream v1 }"
"""True for the other prediction paths: streams, and OpenAI's API under /endpoints/NAME/v1. Evaluated only if the path
itself is not in the map, so that plain predictions do not pay for it."""

ORIGIN_FORM = "{ url -m beg / }"
"""True unless the target is in absolute form (``GET http://host/path``), of which HAProxy's ``path`` is a part."""

CANONICAL = (
    f"  http-request return status 400"
    f" {universal_response('ValidationError', request_target.MESSAGE, 'invalid_request_error')} if "
    + " or ".join(
        (
            "!{ var(txn.routes) -m found } !{ url -m beg / }",
            f"!{{ var(txn.routes) -m found }} {{ path -m reg {quote(request_target.FORBIDDEN_IN_PATH)} }}",
            f"{{ query -m found }} {{ query -m reg {quote(request_target.FORBIDDEN_IN_QUERY)} }}",
        )
    )
    + "\n"
)
"""Rejects targets that are not canonical. A target that was found in the map literally is canonical except for its
query."""

EARLY = {
    400: ("ValidationError", "The request cannot be read."),
    408: ("RequestTimeout", "The request did not arrive in time."),
    500: ("InternalFailure", "The proxy could not handle the request; try again."),
}
"""Errors raised before a request is routed. Input that is not HTTP at all gets HAProxy's built-in 400."""

UNSAFE = re.compile(r"[^A-Za-z0-9._:/@+\[\]~-]")
"""Matches characters with a special meaning in HAProxy's files and commands."""

REPLICA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)


def check_server(replica: str, path: str) -> None:
    if not REPLICA.fullmatch(replica) or UNSAFE.search(path):
        raise TargetRefused(f"server {replica!r} at {path!r} has characters that the proxy does not accept")


def render(state: ProxyState, options: Options) -> dict[str, str]:
    """File name -> content."""
    fleets = "".join(sorted(f"{fleet} {slot}\n" for fleet, slot in state.slots.items()))
    return {
        CONFIG: render_config(state, options),
        MAP: render_map(state),
        FLEETS: fleets,
        rate_limits.MAP: render_quotas(state),
        succession.LEAVING: "",
        cold_start_hold.SCRIPT: cold_start_hold.render_script(options.wakes, options.timeout),
    }


def render_files(state: ProxyState, options: Options) -> dict[str, bytes]:
    return {name: text.encode() for name, text in render(state, options).items()}


def render_config(state: ProxyState, options: Options) -> str:
    sockets = (options.controller, options.admin, options.copies, options.queued, options.wakes, options.peers)
    for text in (options.host, *sockets, options.successor, options.region, options.account):
        if UNSAFE.search(text):
            raise StartupError(f"{text!r} is not allowed in the proxy's configuration; use letters and digits")
    holds = bool(state.sizes.get(ON_DEMAND))
    parts = [
        _global_section(options, holds),
        _defaults_section(options),
        _public_frontend(options),
        _copies_frontend(options),
        _queue_frontend(options),
    ]
    if options.peers:
        parts.append(sessions.render_peers(options.peer, options.peers))
    if options.successor:
        parts.append(succession.render_backends(options, pools.QUEUED_TIMEOUT))
    if options.further.backends:
        parts.append(options.further.backends)
    parts += [_controller_backend(options), _fleet_defaults(options), _metered_defaults(options)]
    parts += [
        pools.MODELS_TABLE,
        rate_limits.render_table(bool(options.peers)),
        sessions.render_table(bool(options.peers)),
        frontend_rules.render_table(bool(options.peers)),
    ]
    seats = {seat.slot: seat for seat in state.seats}
    for pool, size in sorted(state.sizes.items()):
        for slot in (f"{pool}{number}" for number in range(size)):
            parts.append(pools.render_backend(slot, seats.get(slot), options))
    return "\n".join(parts)


def render_map(state: ProxyState) -> str:
    slots = state.slots
    lines = [f"{key} {value}\n" for table in state.tables for key, value in route_entries(table, slots).items()]
    return "".join(sorted(lines))


def render_quotas(state: ProxyState) -> str:
    found = [rate_limits.quota_entries(seat.slot, seat.admission.quotas, state.headers) for seat in state.seats]
    return "".join(sorted(f"{key} {value}\n" for each in found for key, value in each.items()))


def _global_section(options: Options, holds: bool) -> str:
    """``holds``: requests may wait for an instance, which needs a HAProxy with Lua."""
    lua = f"  lua-load {cold_start_hold.SCRIPT}\n" if holds else ""
    return f"""\
# Written by tidegate at every start and reload of HAProxy; changes made here are lost.
global
  # Hundreds of commands may arrive at once: HAProxy's default of 10 would refuse some of them.
  stats socket unix@{options.admin} mode 600 level admin backlog 1024
  stats maxconn 100
  maxconn {options.max_connections}
  nbthread {options.threads}
  # Two tidegates must not silently share a port.
  noreuseport
  # A request can be retried only while all of it is in the buffer, which is copied for each request: twice the size
  # would cost a fifth of the proxy's total work.
  tune.bufsize 32768
  # A process from before a reload ends with its last request, and a queued one takes longest.
  hard-stop-after {pools.QUEUED_TIMEOUT + 60}s
  localpeer {options.peer}
  {sessions.SET_BEGAN}
{lua}"""


def _defaults_section(options: Options) -> str:
    errors = "".join(f"  http-error status {n} {runtime_error(*words)}\n" for n, words in EARLY.items())
    return f"""\
defaults all
  mode http
  timeout connect 250ms
  timeout client {options.timeout + 15}s
  timeout http-request 30s
  timeout http-keep-alive {KEEP_ALIVE}s
  option idle-close-on-response
  # Keeps HAProxy's url and path exactly as they are in the request.
  option disable-h2-upgrade
{errors}"""


def _public_frontend(options: Options) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    target = "req.fhdr(X-Amzn-SageMaker-Target-Variant)"
    unsigned = runtime_error("MissingAuthenticationTokenException", "Missing Authentication Token")
    signature = f"""\
  acl signed {SIGNED}
  acl signed url_param(X-Amz-Signature) -m found
  http-request return status 403 {unsigned} if !signed
"""
    large = f"The request's body is larger than the limit of {options.max_body} bytes."
    told = {"Message": large, "message": large}
    large = aws_or_openai_response("ValidationError", told, "ValidationError", "invalid_request_error")
    unknown = runtime_error(
        "ValidationError",
        f"Variant %[{target},json(utf8ps)] of endpoint %[path,field(3,/)] of account {options.account} not found.",
        "lf-string",
    )
    return f"""\
frontend public from all
  bind {host}:{options.port}
{options.further.binds}\
{succession.render_public(options)}\
  http-request set-var(txn.routes) path,map({MAP}) if METH_POST {ORIGIN_FORM}
{frontend_rules.render_rules(options, SINGLE_FLEET)}\
{options.further.rules}{OPENAI}{CANONICAL}\
  http-request set-var(txn.routes) {PLAIN_PATH},map({MAP}) if !{{ var(txn.routes) -m found }} {OTHER_PATHS}
  http-request set-header X-Tidegate-Source %[src] if !{{ var(txn.routes) -m found }}
  http-request allow if !{{ var(txn.routes) -m found }}
{signature if options.signed else render_same_site_rules(options)}\
  http-request return status 413 {large} if {{ req.body_size gt {options.max_body} }}
  http-request set-header X-Tidegate-Start %[date(0,us)] if !{{ var(txn.again) -m found }}
  http-request set-var(txn.variant) {target}
  acl targeted var(txn.variant) -m found
  {sessions.SET_SESSION}
  acl of_session {sessions.HAS_SESSION}
  http-request allow if !targeted !of_session {SINGLE_FLEET}
  http-request set-var(txn.path) {PLAIN_PATH} if targeted
  http-request set-var(txn.target) var(txn.variant),concat(,txn.path),map({MAP}) if targeted
  http-request return status 400 {unknown} if targeted !{{ var(txn.target) -m found }}
  http-request set-var(txn.routes) var(txn.target) if targeted
{_split_rules("!of_session ", frontend_rules.number_rules(options.headers))}\
{_indent(sessions.routing_rules())}\
  http-after-response allow if {{ status lt 400 }}
  http-after-response set-header x-amzn-RequestId %[uuid] if {PROXY_MADE}
  http-after-response del-header {UNSPENT}
  http-after-response del-header {GONE_HEADER}
  use_backend controller if !{{ var(txn.routes) -m found }}
  use_backend %[var(txn.slot)] if {{ var(txn.slot) -m found }}
  use_backend %[var(txn.routes),word(3,|)]
"""


def _copies_frontend(options: Options) -> str:
    """Copies of requests, which workers send to the shadow fleet that they name. This is a separate socket that only
    this user can open: no public route leads to a shadow fleet, and no header can be forged. A gateway has a port for
    them besides, which is for the workers of its cluster; the shadow's workers verify signatures as of any
    request. A copy by which two versions are compared is counted nowhere, and where requests wait for an instance,
    those of clients come first. Workers read some replies later than they come, so each says how long it took."""
    gone = runtime_error("ServiceUnavailable", "The shadow fleet is not there.")
    host = f"[{options.host}]" if ":" in options.host else options.host
    port = f"  bind {host}:{options.copies_port}\n" if options.copies_port else ""
    return f"""\
frontend copies from all
  bind unix@{options.copies} mode 600
{port}\
{succession.render_private(options, succession.COPIES)}\
{CANONICAL}\
  http-request set-var(txn.routes) req.hdr(X-Tidegate-Fleet),word(1,/)
  http-request set-var(txn.slot) req.hdr(X-Tidegate-Fleet),map({FLEETS})
  http-request return status 503 {gone} if !{{ var(txn.slot) -m found }}
  http-request set-var(txn.copy) bool(true) if {{ path {PAIR_PATH} }}
  http-request set-priority-class int(1) if {COPY}
  http-request del-header X-Tidegate- -m beg
  http-request set-var(txn.began) date(0,us)
  http-request set-header X-Tidegate-Start %[var(txn.began)]
  http-after-response set-header X-Tidegate-Took %[date(0,us),sub(txn.began)] if {{ var(txn.began) -m found }}
  use_backend %[var(txn.slot)]
"""


def _queue_frontend(options: Options) -> str:
    """Queued requests, which the dispatcher sends, and the only route to asynchronous endpoints. The caller was
    authenticated when the request was accepted."""
    gone = runtime_error("ServiceUnavailable", "The endpoint has no instance.")
    return f"""\
frontend queued from all
  bind unix@{options.queued} mode 600
  timeout client {pools.QUEUED_TIMEOUT}s
{succession.render_private(options, succession.QUEUED)}\
  http-request set-var(txn.path) path
  http-request set-var(txn.routes) str(:queued),concat(,txn.path),map({MAP}) if {ORIGIN_FORM}
{CANONICAL}\
  http-request return status 503 {gone} if !{{ var(txn.routes) -m found }}
  http-request del-header X-Tidegate- -m beg
  http-request set-header X-Tidegate-Start %[date(0,us)]
{_split_rules()}\
  use_backend %[var(txn.slot)] if {{ var(txn.slot) -m found }}
  use_backend %[var(txn.routes),word(3,|)]
"""


DRAWN = f"uuid(4),field(1,-),hex2i,{frontend_rules.NUMBER}"
"""A number from 0 to 9,999, drawn for each request: the statistics that judge versions assume that chance assigns
each request by itself. HAProxy 2.8.0 does not seed ``rand()``, which draws the same numbers again after each start;
those of ``uuid`` are seeded by the system in each process."""


SINGLE_FLEET = "!{ var(txn.routes),word(4,|) -m len gt 0 }"
"""True if all requests go to one fleet."""


def _split_rules(where: str = "", numbers: Iterable[str] = ()) -> str:
    """Fields of a map value: endpoint, fence, slot, then a bound and a slot for each further route. The last slot
    whose bound does not exceed the request's number gets the request. ``where``: condition under which no further
    rules apply. ``numbers``: rules that may give the request another number."""
    lines = [
        f"http-request allow if {where}{SINGLE_FLEET}",
        f"http-request set-var(txn.number) {DRAWN}",
        *numbers,
        "http-request set-var(txn.slot) var(txn.routes),word(3,|)",
    ]
    for route in range(1, MAX_ROUTES):
        bound, slot = 2 + 2 * route, 3 + 2 * route
        if route == 2:
            lines.append(f"http-request allow if {where}!{{ var(txn.routes),word({bound},|) -m len gt 0 }}")
        lines.append(
            f"http-request set-var(txn.slot) var(txn.routes),word({slot},|)"
            f" if {{ var(txn.routes),word({bound},|),sub(txn.number) -m int le 0 }}"
        )
    return _indent(lines)


def _indent(lines: list[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)


def _controller_backend(options: Options) -> str:
    """Retries only requests that never reached the controller."""
    message = "tidegate's controller is not running or not responding; predictions continue; see its log"
    members = {"__type": "ServiceUnavailable", "message": message, "Message": message}
    away = error_response("ServiceUnavailable", members)
    return f"""\
backend controller from all
  timeout server 120s
  http-reuse never
  retries 1
  retry-on conn-failure
  http-error status 502 {away}
  http-error status 503 {away}
  http-error status 504 {away}
  http-after-response set-status 503 reason "Service Unavailable" if {{ status 502 504 }} {PROXY_MADE}
  server controller unix@{options.controller}
"""


def _fleet_defaults(options: Options) -> str:
    """Render the defaults of fleets. A request has two tries at most: one that kills its worker must not kill them
    all."""
    none = retry_response(
        "ServiceUnavailable", f"No instance of endpoint {ENDPOINT} can take the request now; try again.", "1"
    )
    late = _model_error(
        options,
        "Your invocation timed out while waiting for a response from container primary. Review the latency metrics"
        " for each container in Amazon CloudWatch, resolve the issue, and try again.",
    )
    died = _model_error(options, "The container primary ended, or closed the connection, before it answered.")
    # Workers send copies back to the address that a request came from, so it must be the one that has the port.
    one_address = options.copies_port and options.host not in ("0.0.0.0", "::")
    source = f"  source {options.host}\n" if one_address else ""
    return f"""\
defaults fleets
  mode http
{source}\
  timeout connect 250ms
  # The worker times out first: it can answer in the wire format that the client used.
  timeout server {options.timeout + 2}s
  timeout check 2s
  timeout queue {round(DEFAULT_QUEUE_TIME * 1000)}ms
  option httpchk GET /ping
  http-check expect status 200
  option http-buffer-request
  # Otherwise the kernel delays small parts of a streamed answer by up to 200 ms.
  option http-no-delay
  # A client that leaves ends its request at once, also one that waits or whose answer has not begun.
  option abortonclose
  http-reuse always
  retries 1
  option redispatch 1
  retry-on conn-failure empty-response
  http-error status 502 {died}
  http-error status 503 {none}
  http-error status 504 {late}
"""


def _metered_defaults(options: Options) -> str:
    return pools.render_metered_defaults(options, sessions.response_rules(partial(_model_error, options)))


def _model_error(options: Options, original: str) -> str:
    group = f"/aws/sagemaker/Endpoints/{ENDPOINT}"
    message = (
        f'Received server error (0) from primary with message "{original}". See the log group {group} in'
        f" account {options.account} (tidegate logs {ENDPOINT}) for more information."
    )
    members = {
        "Message": message,
        "message": message,
        "OriginalStatusCode": 0,
        "OriginalMessage": original,
        "LogStreamArn": resource_arn("logs", options.region, options.account, f"log-group:{group}"),
    }
    return aws_or_openai_response("ModelError", members, "model_error", "server_error")
