"""How HAProxy keeps the requests of a session at the instance that has it. Pure.

A table has an entry for each session, under ``id:endpoint``: the name of its server (which ``stick`` uses), the slot
(the slot's number; slots of the second pool from 2^20 on) and the CRC-32 of the server's name, or 0 for a session
that has ended. The entry is made when a container says New-Session-Id.

HAProxy chooses another server where the one of the entry is down or gone, whatever it is configured to. So a request
says whose session it is, and an instance that is not the one refuses it (``worker.sessions``). No instance is asked
where the slot is not among the routes of the endpoint: the version was replaced.

The table moves to the next process at a reload (``peers``), which takes a moment, and is lost when HAProxy dies;
HAProxy 2.8 does not hand it on in the first five seconds after a start. A process that has just begun says of a
session that it does not know: try again.

Requests without a session leave these rules at the first.
"""

from collections.abc import Callable

from tidegate.domain import sessions
from tidegate.domain.sessions import CLOSED, GONE, HEADER, HOLDER, LONGEST, NEW, OPENED
from tidegate.proxy.responses import ENDPOINT, aws_or_openai_response, quote, retry_response
from tidegate.proxy.routes import MAX_ROUTES
from tidegate.proxy.state import BY_MODEL, ON_DEMAND

RETENTION = "7d"
"""How long a session is known after its last request. The instance ends it earlier, where the container said so."""
L_POOL_OFFSET = 1 << 20
"""What is added to the numbers of the slots in the pool ``l``."""
LEARNING_TIME = 5
"""Seconds that a new process has to hear from the one before it; HAProxy itself gives it as many."""
TABLE = "sessions"

SET_BEGAN = "set-var proc.began date()"
"""For the section ``global``: when the process began."""

SET_SESSION = f"http-request set-var(txn.session) req.fhdr({HEADER})"
HAS_SESSION = "var(txn.session) -m found"

_OPENED_KEY = f"res.fhdr({OPENED}),word(1,;),concat(:,txn.endpoint)"
"""The key of the session that an answer begins."""


def render_table(peers: bool) -> str:
    """With no room left, the sessions go that were asked for longest ago."""
    kept = " peers self" if peers else ""
    size = LONGEST + 64
    return f"""\
# Where sessions are: slot, and CRC-32 of the server's name.
backend {TABLE}
  stick-table type string len {size} size 100k expire {RETENTION} store gpt(2) srvkey name{kept}
"""


def render_peers(name: str, socket: str) -> str:
    """The process itself, so that it hears from the one that it replaces. ``name``: of this HAProxy."""
    return f"""\
peers self
  bind unix@{socket} mode 600
  server {name}
"""


def _error(name: str, message: str) -> str:
    told = {"Message": message, "message": message}
    return aws_or_openai_response(name, told, name, "invalid_request_error")


def routing_rules() -> list[str]:
    """Of the frontend, after the split, which a session overrules: it goes to the slot that has it."""
    id = "var(txn.session)"
    gone = _error("ValidationError", sessions.gone(f"%[{id}]", ENDPOINT))
    early = retry_response(
        "ServiceUnavailable", "The proxy has just been started and is still learning of sessions; try again.", "1"
    )
    stream = "{ path,field(4,/) -m str invocations-response-stream }"
    unfit = f"!{{ {id} -m reg %s }} or {{ req.fhdr_cnt({HEADER}) gt 1 }}"
    plain, streamed = sessions.PATTERN, f"^{sessions.ID}$"
    return [
        "http-request allow if !of_session",
        f"http-request return status 400 {_error('ValidationError', sessions.too_long())}"
        f" if {{ {id} -m len gt {LONGEST} }}",
        f"http-request return status 400 {_error('ValidationError', sessions.invalid(plain))}"
        f" if {unfit % quote(plain)}",
        f"http-request return status 400 {_error('ValidationError', sessions.invalid(streamed))}"
        f" if {{ {id} -m str {NEW} }} {stream}",
        # Their workers refuse it, and say why.
        f"http-request allow if {{ var(txn.routes),word(3,|) -m beg {BY_MODEL} {ON_DEMAND} }}",
        "http-request set-var(txn.endpoint) var(txn.routes),word(1,|)",
        f"http-request allow if {{ {id} -m str {NEW} }}",
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
        f"http-request set-header {HOLDER} %[var(txn.holder)]",
    ]


def response_rules(model_error: Callable[[str], str]) -> list[str]:
    """Of all slots in the pools that sessions can be in. A container that names a session which another instance has
    gets an error for it: two clients would otherwise talk to each other's session."""
    taken = model_error(
        "The container answered with the session %[var(txn.opened),json(utf8ps)], which another instance has already:"
        " ids of sessions must be unique among the instances of an endpoint."
    )
    return [
        f"http-response allow if !{{ {HAS_SESSION} }}",
        f"http-response set-var(txn.opened) res.fhdr({OPENED}),word(1,;) if {{ res.fhdr({OPENED}) -m found }}",
        "acl opened var(txn.opened) -m found",
        f"acl ended res.hdr({GONE}) -m found",
        f"acl ended res.fhdr({CLOSED}),strcmp(txn.session) eq 0",
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
    """Of each such slot: HAProxy takes these from no section of defaults, and stores before it comes to the other
    rules for an answer."""
    return [
        f"stick match var(txn.key) table {TABLE} if {{ var(txn.key) -m found }}",
        f"stick store-response {_OPENED_KEY} table {TABLE} if {{ var(txn.endpoint) -m found }}"
        f" {{ res.fhdr({OPENED}) -m found }} {{ {_OPENED_KEY},table_gpt(1,{TABLE}) -m int 0 }}",
    ]
