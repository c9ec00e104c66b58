"""What HAProxy does with a request, as text: haproxy.cfg and routes.map from a State. Pure; for 2.8 and later.

A prediction meets, in this order: the map of routes (no entry: the controller has it), the check for a signature or,
without access keys, for another site's web page, the body limit, the stamp, the variant it asks for, the split by
weights, a server of the slot's backend. Every prediction pays for everything on that way, so the rules for several
routes come last and a lone fleet skips them. For the same reason the form of the request target is checked only where
it was not found in the map as it stands: the keys of the map are canonical.
A streamed answer is passed on as it comes; only what has not sent a byte yet is given to a second server.
"""

import re
from functools import partial

from tidegate.auth import request_target, same_site
from tidegate.domain.admission import QUEUE_TIME
from tidegate.domain.arns import resource_arn
from tidegate.domain.errors import Refused, StartupError
from tidegate.domain.sessions import GONE
from tidegate.domain.traffic import WHOLE
from tidegate.proxy import cold_start_hold, pools, rate_limits, sessions
from tidegate.proxy.options import Options
from tidegate.proxy.responses import (
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
"""File names in the proxy's folder, which is HAProxy's working directory."""

KEEP_ALIVE = 50
"""Seconds that a client's idle connection stays open; below the drain timeout, so that a connection which still
holds an older process of HAProxy open is gone before what it may be routed to is."""

PLAIN_PATH = "path,field(1,/,3),concat(/invocations)"
"""A path under /endpoints/NAME as the key of the map of routes."""

OTHER_PATHS = "{ path,field(4,/) -m str invocations-response-stream v1 }"
"""True for the other ways to ask for a prediction: as a stream, and in OpenAI's manner under /endpoints/NAME/v1.
Looked at only after the path itself was not in the map, so that the plain way does not pay for it."""

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
"""Refuses every target that is not canonical. One that was found in the map as it stands is, but for its query."""

EARLY = {
    400: ("ValidationError", "The request cannot be read."),
    408: ("RequestTimeout", "The request did not arrive in time."),
    500: ("InternalFailure", "The proxy could not handle the request; try again."),
}
"""Errors that no door has words for. What is not HTTP at all gets a 400 that is built into HAProxy."""

UNSAFE = re.compile(r"[^A-Za-z0-9._:/@+\[\]~-]")
"""Characters that have a meaning in HAProxy's files and commands."""


REPLICA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)


def check_server(replica: str, path: str) -> None:
    if not REPLICA.fullmatch(replica) or UNSAFE.search(path):
        raise Refused(f"server {replica!r} at {path!r} has characters that the proxy cannot take")


def render(state: ProxyState, options: Options) -> dict[str, str]:
    """File name -> content."""
    fleets = "".join(sorted(f"{fleet} {slot}\n" for fleet, slot in state.slots.items()))
    return {
        CONFIG: render_config(state, options),
        MAP: render_map(state),
        FLEETS: fleets,
        rate_limits.MAP: render_quotas(state),
        cold_start_hold.SCRIPT: cold_start_hold.render_script(options.wakes, options.timeout),
    }


def render_config(state: ProxyState, options: Options) -> str:
    sockets = (options.controller, options.admin, options.copies, options.queued, options.wakes, options.peers)
    for text in (options.host, *sockets, options.region, options.account):
        if UNSAFE.search(text):
            raise StartupError(f"{text!r} cannot stand in the proxy's configuration; use plain letters and digits")
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
    parts += [_controller_backend(options), _fleet_defaults(options), _metered_defaults(options)]
    parts += [pools.MODELS_TABLE, rate_limits.TABLE, sessions.render_table(bool(options.peers))]
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
    """``holds``: requests may wait for an instance; what they wait in needs a HAProxy with Lua."""
    lua = f"  lua-load {cold_start_hold.SCRIPT}\n" if holds else ""
    return f"""\
# Written by tidegate at every start and reload of HAProxy; changes made here are lost.
global
  # Hundreds of endpoints may ask at one time: HAProxy's own 10 would turn some of them away.
  stats socket unix@{options.admin} mode 600 level admin backlog 1024
  stats maxconn 100
  maxconn {options.max_connections}
  nbthread {options.threads}
  # Two tidegates must not share a port unnoticed.
  noreuseport
  # A request can be given to a second server only while all of it is in the buffer, of which every request has a
  # copy made for that: twice the size would be a fifth of the proxy's whole work.
  tune.bufsize 32768
  hard-stop-after 10m
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
  # What HAProxy calls url and path is then what stands in the request.
  option disable-h2-upgrade
{errors}"""


def _same_site_rules(options: Options) -> str:
    """Without access keys: turns away what a web page of another site makes a browser send. The two names that nearly
    every request has need no regular expression."""
    host, port = options.host if ":" not in options.host else f"[{options.host}]", options.port
    usual = " ".join(dict.fromkeys((f"127.0.0.1:{port}", f"localhost:{port}", f"{host}:{port}")))
    name = "AccessDeniedException"
    foreign, page = (
        aws_or_openai_response(name, {"__type": name, "Message": text, "message": text}, name, "permission_error")
        for text in (same_site.FOREIGN_HOST, same_site.FOREIGN_PAGE)
    )
    origin, said = "req.fhdr(Origin)", "req.fhdr(Sec-Fetch-Site)"
    compared = f"{origin},regsub(^https?://,),strcmp(txn.page)"
    own_sites = " ".join(same_site.OWN_SITES)
    return f"""\
  acl own_host req.fhdr(Host) -m str -i {usual}
  acl own_host req.fhdr(Host) -m reg -i {quote(options.own_hosts)}
  http-request return status 403 {foreign} if !own_host
  # Only browsers set these headers: all other clients pay for one look for each.
  http-request set-var(txn.page) req.fhdr(Host) if {{ {origin} -m found }} or {{ {said} -m found }}
  acl page var(txn.page) -m found
  acl other_page {compared} gt 0
  acl other_page {compared} lt 0
  acl other_page req.fhdr_cnt(Origin) gt 1
  acl other_page req.fhdr_cnt(Sec-Fetch-Site) gt 1
  acl own_site {said} -m str {own_sites}
  http-request return status 403 {page} if page other_page or page {{ {said} -m found }} !own_site
"""


def _public_frontend(options: Options) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    target = "req.fhdr(X-Amzn-SageMaker-Target-Variant)"
    unsigned = runtime_error("MissingAuthenticationTokenException", "Missing Authentication Token")
    signature = f"""\
  acl signed req.hdr(Authorization) -m found
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
frontend door from all
  bind {host}:{options.port}
  http-request del-header X-Tidegate- -m beg
  http-request set-var(txn.routes) path,map({MAP}) if METH_POST {ORIGIN_FORM}
{OPENAI}\
{CANONICAL}\
  http-request set-var(txn.routes) {PLAIN_PATH},map({MAP}) if !{{ var(txn.routes) -m found }} {OTHER_PATHS}
  http-request allow if !{{ var(txn.routes) -m found }}
{signature if options.signed else _same_site_rules(options)}\
  http-request return status 413 {large} if {{ req.body_size gt {options.max_body} }}
  http-request set-header X-Tidegate-Start %[date(0,us)]
  http-request set-var(txn.variant) {target}
  acl targeted var(txn.variant) -m found
  {sessions.SET_SESSION}
  acl of_session {sessions.HAS_SESSION}
  http-request allow if !targeted !of_session {SINGLE_FLEET}
  http-request set-var(txn.path) {PLAIN_PATH} if targeted
  http-request set-var(txn.target) var(txn.variant),concat(,txn.path),map({MAP}) if targeted
  http-request return status 400 {unknown} if targeted !{{ var(txn.target) -m found }}
  http-request set-var(txn.routes) var(txn.target) if targeted
{_split_rules("!of_session ")}\
{_indent(sessions.routing_rules())}\
  http-after-response allow if {{ status lt 400 }}
  http-after-response set-header x-amzn-RequestId %[uuid] if {PROXY_MADE}
  http-after-response del-header {UNSPENT}
  http-after-response del-header {GONE}
  use_backend controller if !{{ var(txn.routes) -m found }}
  use_backend %[var(txn.slot)] if {{ var(txn.slot) -m found }}
  use_backend %[var(txn.routes),word(3,|)]
"""


def _copies_frontend(options: Options) -> str:
    """Copies of requests, from workers to the shadow fleet that they name. A way of its own, on a socket that only
    this user can open: nothing that comes through the door leads to a shadow, and no mark could be forged."""
    gone = runtime_error("ServiceUnavailable", "The shadow fleet is not there.")
    return f"""\
frontend copies from all
  bind unix@{options.copies} mode 600
{CANONICAL}\
  http-request set-var(txn.routes) req.hdr(X-Tidegate-Fleet),word(1,/)
  http-request set-var(txn.slot) req.hdr(X-Tidegate-Fleet),map({FLEETS})
  http-request return status 503 {gone} if !{{ var(txn.slot) -m found }}
  http-request del-header X-Tidegate- -m beg
  http-request set-header X-Tidegate-Start %[date(0,us)]
  use_backend %[var(txn.slot)]
"""


def _queue_frontend(options: Options) -> str:
    """Requests from the queue, which the dispatcher sends: to asynchronous endpoints only, which no other way leads
    to. Who asked was found out when the request was accepted."""
    gone = runtime_error("ServiceUnavailable", "The endpoint has no instance.")
    return f"""\
frontend queued from all
  bind unix@{options.queued} mode 600
  timeout client {pools.QUEUED_TIMEOUT}s
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


GOLDEN_RATIO = f"mul(2654435769),and({2**32 - 1}),mul({WHOLE}),div({2**32})"
"""Spreads the running number of a request over 0 to 9,999 by the golden ratio, so that any stretch of requests,
and any regular part of one, is split as evenly as can be: of a hundred requests 10 % are ten or nearly so, where
chance alone would often make it six or fourteen. An alarm on a small share has its evidence sooner."""


SINGLE_FLEET = "!{ var(txn.routes),word(4,|) -m len gt 0 }"
"""True where all requests go to one fleet."""


def _split_rules(where: str = "") -> str:
    """Words of a value: endpoint, fence, slot, and then a bound and a slot for each further route. The last slot
    whose bound is not above the request's number has it. ``where``: of which requests there are no further rules."""
    lines = [
        f"http-request allow if {where}{SINGLE_FLEET}",
        "http-request set-var-fmt(txn.count) %rt",
        f"http-request set-var(txn.number) var(txn.count),and({2**20 - 1}),{GOLDEN_RATIO}",
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
    """Only what never reached the controller is asked again."""
    message = "tidegate's controller does not run or does not answer; predictions go on; see its log"
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
    """Two tries for a request: one that kills its worker must not kill them all."""
    none = retry_response(
        "ServiceUnavailable", f"No instance of endpoint {ENDPOINT} can take the request now; try again.", "1"
    )
    late = _model_error(
        options,
        "Your invocation timed out while waiting for a response from container primary. Review the latency metrics"
        " for each container in Amazon CloudWatch, resolve the issue, and try again.",
    )
    died = _model_error(options, "The container primary ended, or closed the connection, before it answered.")
    return f"""\
defaults fleets
  mode http
  timeout connect 250ms
  # The worker has its say first: it tells in what manner a client asked.
  timeout server {options.timeout + 2}s
  timeout check 2s
  timeout queue {round(QUEUE_TIME * 1000)}ms
  option httpchk GET /ping
  http-check expect status 200
  option http-buffer-request
  # Else the kernel holds a small part of a streamed answer back for 200 ms, to send it with the next one.
  option http-no-delay
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
