"""Rate limits per client in HAProxy: a token bucket as rules of its configuration. Pure.

A bucket is stored as one number: the time, in microseconds, at which it will be full again. Each request delays it by
the time in which one token refills, and is refused if the bucket holds less than one token. This is the generic
cell rate algorithm (ITU-T I.371): it admits exactly what a bucket of ``burst`` tokens admits, and needs neither a
timer nor a second number.

``quotas.map`` has an entry for each slot with quotas, and one for each of its clients with a rate of their own:

    r3          h0|20000|1980000|2000000
    r3:acme     h0|1000|99000|100000

The fields: where the client's name is, the time per token, and how far ahead the bucket may be before a request and
after one. Requests to a slot without quotas pay for one lookup in the map.

The number has 32 bits and wraps every 71 minutes. That is harmless: a bucket is full after ten minutes, and a client
that sent nothing for eleven is forgotten. A time further ahead than possible (the clock was set back) counts as a
full bucket, and so does 0, which a new client has. Two requests of one client that two HAProxy threads handle in the
same microsecond may take a single token.

Buckets outlive a reload, which any endpoint may cause: the process before it hands them on, but for one that was
started less than five seconds before, which HAProxy 2.8 does not let do so. A proxy that died has full buckets.

The client's identity is what the request claims; the worker verifies it. A request that the worker refuses for its
signature or before checking it (it marks both), or whose body never arrives, gets its token back, so that signing
with another client's name does not spend that client's tokens. A request that a model refuses, with whatever status,
spends its token.
"""

from collections.abc import Mapping

from tidegate.domain.admission import Quotas, TokenBucket
from tidegate.proxy.responses import COPY, ENDPOINT, PROXY_MADE, UNSPENT, retry_response

MAP = "quotas.map"
BY_KEY = "k"
"""The client is the access key id of the signature, or of OpenAI's bearer token. The worker verifies the
signature."""
DEFAULT_HEADER = "x-client"
"""The header that HAProxy knows from the start. Each further header needs one reload."""


def render_table(peers: bool) -> str:
    """``peers``: a process hands its buckets to its successor at a reload, as it does sessions."""
    kept = " peers self" if peers else ""
    return f"""\
# Buckets of clients; see quotas.map. A full table evicts the least recently used.
backend quotas
  stick-table type string len 128 size 100k expire 11m store gpt(1){kept}
"""


MASK = 2**32 - 1
_KEYS = (
    ("req.fhdr(Authorization),field(2,=),field(1,/)", "{ req.fhdr(Authorization) -m beg AWS4 }"),
    ("req.fhdr(Authorization),field(1,:),bytes(7)", "{ req.fhdr(Authorization) -m beg Bearer }"),
    ("url_param(X-Amz-Credential),url_dec,field(1,/)", "{ url_param(X-Amz-Credential) -m found }"),
)


def quota_entries(slot: str, quotas: Quotas | None, headers: tuple[str, ...]) -> dict[str, str]:
    """Map entries of a slot. ``headers``: those that HAProxy knows."""
    if quotas is None:
        return {}
    by = f"h{headers.index(quotas.header.lower())}" if quotas.header else BY_KEY
    own = {f"{slot}:{name}": f"{by}|{_render_bucket(rate)}" for name, rate in quotas.clients.items()}
    return {slot: f"{by}|{_render_bucket(quotas.rate)}", **own}


def merge_headers(headers: tuple[str, ...], header: str) -> tuple[str, ...]:
    """Headers that HAProxy has to know. None is ever removed, so that the others keep their numbers."""
    name = header.lower()
    return headers if not name or name in headers else (*headers, name)


def _render_bucket(rate: TokenBucket) -> str:
    token = max(1, round(1e6 / rate.per_second))
    ahead = max(0, round((rate.burst - 1) * token))
    return f"{token}|{ahead}|{ahead + token}"


def quota_rules(headers: tuple[str, ...]) -> list[str]:
    """Backend rules. They come last, since requests to a slot without quotas leave at the first of them. A copy by
    which versions are compared spends no token of the client whose headers it has."""
    by = "var(txn.quota),word(1,|) -m str"
    found = [(f"req.fhdr({name})", f"{{ {by} h{number} }}") for number, name in enumerate(headers)]
    found += [(name, f"{{ {by} {BY_KEY} }} {when}") for name, when in _KEYS]
    message = f"Rate exceeded: this client exceeds its quota for endpoint {ENDPOINT}; try again."
    late = "%[var(txn.over),add(999999),div(1000000)]"
    return [
        f"http-request allow if !{{ be_name,map({MAP}) -m found }}",
        f"http-request allow if {COPY}",
        f"http-request set-var(txn.quota) be_name,map({MAP})",
        "http-request set-var(txn.client) str()",
        *(f"http-request set-var(txn.client) {name} if {when}" for name, when in found),
        f"http-request set-var(txn.own) be_name,concat(:,txn.client),map({MAP})",
        "http-request set-var(txn.quota) var(txn.own) if { var(txn.own) -m found }",
        "http-request set-var(txn.bucket) var(txn.routes),word(1,|),concat(:,txn.client)",
        "http-request track-sc1 var(txn.bucket) table quotas",
        *(
            f"http-request set-var(txn.{name}) var(txn.quota),word({word},|),add(0)"
            for word, name in ((2, "token"), (3, "ahead"), (4, "most"))
        ),
        f"http-request set-var(txn.now) date(0,us),and({MASK})",
        "http-request set-var(txn.full) sc_get_gpt(0,1,quotas)",
        f"http-request set-var(txn.wait) var(txn.full),sub(txn.now),and({MASK})",
        "http-request set-var(txn.wait) int(0) if { var(txn.full) -m int 0 } or"
        " { var(txn.wait),sub(txn.most) -m int gt 0 }",
        "http-request set-var(txn.over) var(txn.wait),sub(txn.ahead)",
        f"http-request return status 429 {retry_response('ThrottlingException', message, late)}"
        " if { var(txn.over) -m int gt 0 }",
        f"http-request sc-set-gpt(0,1) var(txn.now),add(txn.wait),add(txn.token),and({MASK})",
        "http-after-response allow if { status lt 400 }",
        *(
            f"http-after-response sc-set-gpt(0,1) sc_get_gpt(0,1,quotas),sub(txn.token),and({MASK})"
            f" if {{ var(txn.token) -m found }} {which}"
            for which in (f"{{ res.hdr({UNSPENT}) -m found }}", f"{{ status 400:408 413 }} {PROXY_MADE}")
        ),
    ]


def stale_keys(there: Mapping[str, str], wanted: Mapping[str, str], slot: str) -> list[str]:
    """The slot's unwanted keys in the map."""
    return [key for key in there if key.partition(":")[0] == slot and key not in wanted]
