"""Renders the slots of each pool as HAProxy backends: balancing, queueing and counting. Pure."""

from collections.abc import Sequence

from tidegate.proxy import cold_start_hold, rate_limits, sessions
from tidegate.proxy.options import Options
from tidegate.proxy.responses import AWS, COPY, PROXY_MADE
from tidegate.proxy.state import BY_MODEL, ON_DEMAND, QUEUED, UNKNOWN_PATH, Seat

CHECK_OPTIONS = "check inter 500ms fastinter 100ms fall 3 rise 1 observe layer4 on-error mark-down"
"""Options of each server. A dead worker refuses connections and is marked down after a few of them or three failed
checks; it is back after one good check."""
MOST_ERRORS, MOST_ERRORS_ON_DEMAND = 3, 1
"""Refused connections until a server is down. Each request goes to another server, of which a serverless fleet may
have none: the request then waits for one (``cold_start_hold``)."""
UNLIMITED = 100_000
"""Limit of a serverless fleet's server that has no other: ``cold_start_hold`` relies on a limit."""

BALANCE = {
    "r": "random",
    "l": "leastconn",
    QUEUED: "leastconn",
    BY_MODEL: "hash var(txn.pick)",
    ON_DEMAND: "leastconn",
}
"""Pool -> balancing algorithm. ``random`` draws two servers and takes the one with fewer requests in flight."""

MAX_PER_INSTANCE = 4
"""Concurrent requests for one model per instance; with more, another instance serves the model, too. HAProxy's own
bound for this (hash-balance-factor) is a percentage of the average load: with few requests it sends every second
model to two instances, which then both load it."""

RING_WEIGHT = 64
"""Puts each server on the ring at 1,024 points, so that its share of the models is even to about 3 %."""

QUEUED_TIMEOUT = 3_660
"""Seconds that a queued request may take: SageMaker's hour, plus a margin so that the worker times out first."""

QUEUE_RULES = (
    f"timeout server {QUEUED_TIMEOUT}s",
    "no option http-buffer-request",
    "retry-on conn-failure",
)
"""A request can be a gigabyte and is forwarded without buffering; retries are the dispatcher's job."""

METERED_POOLS = ("r", "l")
"""Pools whose slots share quota and session rules in one ``defaults`` section. Slots of other pools have their own
rules, which come first."""


def render_metered_defaults(options: Options, more: Sequence[str]) -> str:
    """Rules that hundreds of slots share. ``more``: rules for responses."""
    lines = ["defaults metered from fleets", *rate_limits.quota_rules(options.headers), *more]
    return "\n  ".join(lines) + "\n"


MODELS_TABLE = """\
# How many requests for each model of each multi-model fleet are under way.
backend models
  stick-table type string len 256 size 100k expire 10s store conn_cur
"""


def _model_ring_rules(slot: str) -> list[str]:
    """Route a request by its model's name on the ring; a model with many requests at a time is spread over as many
    instances as needed. A request without a model goes to any worker, which answers with the error."""
    return [
        "hash-type consistent",
        f"http-request set-var(txn.model) req.fhdr(X-Amzn-SageMaker-Target-Model),concat(:{slot})",
        "http-request track-sc0 var(txn.model) table models",
        f"http-request set-var(txn.places) sc0_conn_cur(models),add({MAX_PER_INSTANCE - 1}),div({MAX_PER_INSTANCE})",
        f"http-request set-var(txn.place) rand({2**20}),mod(txn.places)",
        "http-request set-var(txn.pick) var(txn.model),concat(:,txn.place)",
    ]


def render_backend(slot: str, seat: Seat | None, options: Options) -> str:
    """Render a backend with the servers of its fleet."""
    pool = slot[0]
    lines = [
        f"backend {slot} from {'metered' if pool in METERED_POOLS else 'fleets'}",
        f"balance {BALANCE[pool]}",
        *((f"timeout queue {round(options.queues[slot] * 1000)}ms",) if slot in options.queues else ()),
        *(_model_ring_rules(slot) if pool == BY_MODEL else ()),
        *(QUEUE_RULES if pool == QUEUED else ()),
        *(cold_start_hold.wait_rules(options.queue, options.timeout) if pool == ON_DEMAND else ()),
        *((f"http-request allow if {cold_start_hold.CAME_AGAIN}",) if pool == ON_DEMAND else ()),  # it has paid
        *(rate_limits.quota_rules(options.headers) if pool in (BY_MODEL, ON_DEMAND) else ()),
        *(sessions.stick_rules() if pool in METERED_POOLS else ()),
        *_count_rules(slot),
        *((cold_start_hold.render_again(options.successor),) if pool == ON_DEMAND else ()),
    ]
    if seat is not None:
        lines += [
            f"server {render_server(seat, replica)}"
            for replica, path in seat.servers.items()
            if path != UNKNOWN_PATH
        ]
    return "\n  ".join(lines) + "\n"


def _count_rules(slot: str) -> list[str]:
    """Rules that count responses made by the proxy in this slot. Successful ones leave at the first rule, copies by
    which versions are compared at the second: a version has failed none of its requests by them."""
    unanswered, refused, throttled = counter_names(slot)
    return [
        "http-after-response allow if { status lt 400 }",
        f"http-after-response allow if {COPY}",
        f"http-after-response set-var({refused}) var({refused},0),add(1)"
        f" if {{ status 503 }} {PROXY_MADE} {{ nbsrv gt 0 }}",
        f"http-after-response set-var({throttled}) var({throttled},0),add(1) if {{ status 429 }} {PROXY_MADE}",
        f"http-after-response set-var({unanswered}) var({unanswered},0),add(1) if {{ status 502:504 }} {PROXY_MADE}",
        f'http-after-response set-status 424 reason "Failed Dependency" if {{ status 502 504 }} {AWS} {PROXY_MADE}',
    ]


def render_server(seat: Seat, replica: str) -> str:
    """A server's name, address and options, for the file and for ``add server``."""
    address = seat.servers[replica]
    on_demand = seat.slot.startswith(ON_DEMAND)
    place = f"unix@{address}" if address.startswith("/") else address
    errors = MOST_ERRORS_ON_DEMAND if on_demand else MOST_ERRORS
    words = f"{replica} {place} {CHECK_OPTIONS} error-limit {errors}"
    if (limit := seat.limits.get(replica, UNLIMITED if on_demand else None)) is not None:
        words += f" maxconn {limit}"
    number = seat.numbers.get(replica)
    return words if number is None else f"{words} id {number} weight {RING_WEIGHT}"


def counter_names(slot: str) -> tuple[str, str, str]:
    """Variables that count the proxy's own responses in a slot: no worker answered, none had capacity in time (also
    part of the first), and client over its quota."""
    return f"proc.{slot}", f"proc.{slot}_refused", f"proc.{slot}_throttled"
