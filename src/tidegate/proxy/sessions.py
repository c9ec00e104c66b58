"""Keeps requests of a session at the instance that has it, with HAProxy's rules. Pure.

A table has an entry for each session under ``id:endpoint``: the name of its server (which ``stick`` uses), its slot
(the slot's number; slots of the second pool from 2^20 on) and the CRC-32 of the server's name, or 0 for a session
that has ended. A container creates the entry with its New-Session-Id header.

HAProxy always chooses another server if the entry's server is down or gone. Therefore a request carries its session's
server, and any other instance refuses it (``serving.front.sessions``). If the slot is not among the endpoint's
routes, the version was replaced and no instance is asked.

The table moves to the next process at a reload (``peers``), which takes a moment, and is lost when HAProxy dies;
HAProxy 2.8 does not hand it on in the first five seconds after a start. A process that has just started answers
requests of unknown sessions with "try again".

Requests without a session leave these rules at the first one.
"""

from collections.abc import Callable

from tidegate.domain import sessions
from tidegate.domain.sessions import (
    CLOSED_SESSION_HEADER,
    GONE_HEADER,
    HOLDER_HEADER,
    MAX_ID_LENGTH,
    NEW_SESSION,
    NEW_SESSION_HEADER,
    SESSION_HEADER,
)
from tidegate.proxy.responses import ENDPOINT, aws_or_openai_response, quote, retry_response
from tidegate.proxy.routes import MAX_ROUTES
from tidegate.proxy.state import BY_MODEL, ON_DEMAND

RETENTION = "7d"
"""How long a session is remembered after its last request. The instance ends it earlier if the container said so."""
L_POOL_OFFSET = 1 << 20
"""Added to the numbers of slots in pool ``l``."""
LEARNING_TIME = 5
"""Seconds in which a new process learns sessions from its predecessor; HAProxy's own limit is the same."""
TABLE = "sessions"

SET_BEGAN = "set-var proc.began date()"
"""Rule of the ``global`` section that stores when the process started."""

SET_SESSION = f"http-request set-var(txn.session) req.fhdr({SESSION_HEADER})"
HAS_SESSION = "var(txn.session) -m found"

_OPENED_KEY = f"res.fhdr({NEW_SESSION_HEADER}),word(1,;),concat(:,txn.endpoint)"
"""Key of the session that a response opens."""


def render_table(peers: bool) -> str:
    """A full table evicts the least recently used sessions."""
    kept = " peers self" if peers else ""
    size = MAX_ID_LENGTH + 64
    return f"""\
# Location of sessions: slot, and CRC-32 of the server's name.
backend {TABLE}
  stick-table type string len {size} size 100k expire {RETENTION} store gpt(2) srvkey name{kept}
"""


def render_peers(name: str, socket: str) -> str:
    """Peers section with the process itself, so that it receives the sessions of its predecessor. ``name``: of this
    HAProxy."""
    return f"""\
peers self
  bind unix@{socket} mode 600
  server {name}
"""


def _error(name: str, message: str) -> str:
    told = {"Message": message, "message": message}
    return aws_or_openai_response(name, told, name, "invalid_request_error")


def routing_rules() -> list[str]:
    """Frontend rules after the split, which they override: a request goes to the slot of its session."""
    id = "var(txn.session)"
    gone = _error("ValidationError", sessions.gone_message(f"%[{id}]", ENDPOINT))
    early = retry_response(
        "ServiceUnavailable", "The proxy has just been started and is still loading sessions; try again.", "1"
    )
    stream = "{ path,field(4,/) -m str invocations-response-stream }"
    unfit = f"!{{ {id} -m reg %s }} or {{ req.fhdr_cnt({SESSION_HEADER}) gt 1 }}"
    plain, streamed = sessions.PATTERN, f"^{sessions.ID_PATTERN}$"
    return [
        "http-request allow if !of_session",
        f"http-request return status 400 {_error('ValidationError', sessions.long_id_message())}"
        f" if {{ {id} -m len gt {MAX_ID_LENGTH} }}",
        f"http-request return status 400 {_error('ValidationError', sessions.invalid_id_message(plain))}"
        f" if {unfit % quote(plain)}",
        f"http-request return status 400 {_error('ValidationError', sessions.invalid_id_message(streamed))}"
        f" if {{ {id} -m str {NEW_SESSION} }} {stream}",
        # Workers of these pools refuse sessions and say why.
        f"http-request allow if {{ var(txn.routes),word(3,|) -m beg {BY_MODEL} {ON_DEMAND} }}",
        "http-request set-var(txn.endpoint) var(txn.routes),word(1,|)",
        f"http-request allow if {{ {id} -m str {NEW_SESSION} }}",
        f"http-request set-var(txn.key) {id},concat(:,txn.endpoint)",
        f"http-request set-var(txn.holder) var(txn.key),table_gpt(1,{TABLE})",
        f"http-request return status 503 {early}"
        f" if !{{ var(txn.key),in_table({TABLE}) }} {{ date(),sub(proc.began) lt {LEARNING_TIME} }}",
        f"http-request set-var(txn.place) var(txn.key),table_gpt(0,{TABLE})",
        f"http-request set-var(txn.seat) var(txn.place),and({L_POOL_OFFSET - 1})",
        "http-request set-var(txn.slot) str(r),concat(,txn.seat)",
        f"http-request set-var(txn.slot) str(l),concat(,txn.seat) if {{ var(txn.place) -m int ge {L_POOL_OFFSET} }}",
        *(f"acl routed var(txn.routes),word({3 + 2 * n},|),strcmp(txn.slot) eq 0" for n in range(MAX_ROUTES)),
        f"http-request return status 400 {gone} if {{ var(txn.holder) -m int 0 }} or !routed",
        f"http-request set-header {HOLDER_HEADER} %[var(txn.holder)]",
    ]


def response_rules(model_error: Callable[[str], str]) -> list[str]:
    """Response rules of all pools that support sessions. A container that opens a session which another instance has
    gets an error, since two clients would otherwise share a session."""
    taken = model_error(
        "The container answered with the session %[var(txn.opened),json(utf8ps)], which another instance already has:"
        " session ids must be unique among the instances of an endpoint."
    )
    return [
        f"http-response allow if !{{ {HAS_SESSION} }}",
        f"http-response set-var(txn.opened) res.fhdr({NEW_SESSION_HEADER}),word(1,;)"
        f" if {{ res.fhdr({NEW_SESSION_HEADER}) -m found }}",
        "acl opened var(txn.opened) -m found",
        f"acl ended res.hdr({GONE_HEADER}) -m found",
        f"acl ended res.fhdr({CLOSED_SESSION_HEADER}),strcmp(txn.session) eq 0",
        "http-response allow if !opened !ended",
        f"http-response set-var(txn.key) {_OPENED_KEY} if opened",
        f"http-response track-sc2 var(txn.key) table {TABLE}",
        "http-response sc-set-gpt(1,2) int(0) if !opened",
        "http-response allow if !opened",
        "http-response set-var(txn.here) srv_name,crc32",
        f"http-response set-var(txn.before) sc_get_gpt(1,2,{TABLE})",
        "acl taken var(txn.before) -m int gt 0",
        "acl another var(txn.before),sub(txn.here) -m int lt 0",
        "acl another var(txn.before),sub(txn.here) -m int gt 0",
        f"http-response return status 424 {taken} if taken another",
        "http-response set-var(txn.place) be_name,regsub(^.,),add(0)",
        f"http-response set-var(txn.place) var(txn.place),add({L_POOL_OFFSET}) if {{ be_name -m beg l }}",
        "http-response sc-set-gpt(0,2) var(txn.place)",
        "http-response sc-set-gpt(1,2) var(txn.here)",
    ]


def stick_rules() -> list[str]:
    """Rules of each such slot: HAProxy does not take them from ``defaults``, and stores before evaluating the other
    response rules."""
    return [
        f"stick match var(txn.key) table {TABLE} if {{ var(txn.key) -m found }}",
        f"stick store-response {_OPENED_KEY} table {TABLE} if {{ var(txn.endpoint) -m found }}"
        f" {{ res.fhdr({NEW_SESSION_HEADER}) -m found }} {{ {_OPENED_KEY},table_gpt(1,{TABLE}) -m int 0 }}",
    ]
