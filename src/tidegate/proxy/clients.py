"""Keeps each client on one version of a rollout, with HAProxy's rules, and marks requests that are no new unit. Pure.

A request's number from 0 to 9,999 decides which version it goes to. Where the routes name a header, it is a hash of
the header's value and of a salt of the rollout: the new version has the numbers below its share, so whoever it
answers stays there while the share grows. A request without that header has a number by chance, as all others have.

The clients, and not their requests, are what chance assigns to the versions, so a comparison of these counts each
client once in a stage. It counts only those whom the stage assigns: whose number is not below the share of the stage
before (the floor), as those are on the new version already. All other requests carry REPEAT_HEADER. The floor of the
last stage in which a client was counted, plus 1, is kept in a table, which a process hands on at a reload; a full
table forgets the client that was not seen for longest.
"""

from tidegate.domain.traffic import WHOLE
from tidegate.domain.worker_stats import REPEAT_HEADER

TABLE = "clients"
RETENTION = "7d"
"""How long a client is remembered after its last request."""
NUMBER = f"mul({WHOLE}),div({2**32})"
"""Makes a number from 0 to 9,999 of one of 32 bits."""

_HEADER, _SALT, _FLOOR = (f"var(txn.routes),word(2,|),word({number},:)" for number in (2, 3, 4))


def render_table(peers: bool) -> str:
    kept = " peers self" if peers else ""
    return f"""\
# Clients that were counted in a stage of a rollout; see the rules with txn.unit.
backend {TABLE}
  stick-table type binary len 20 size 500k expire {RETENTION} store gpt(1){kept}
"""


def number_rules(headers: tuple[str, ...]) -> list[str]:
    """Frontend rules after the draw of the number, which they replace. ``headers``: those that HAProxy knows."""
    return [
        f"acl sticks {_HEADER} -m len gt 0",
        "acl named var(txn.client) -m len gt 0",
        *(
            f"http-request set-var(txn.client) req.fhdr({name}) if sticks {{ {_HEADER} -m str {name} }}"
            for name in headers
        ),
        f"http-request set-var(txn.salt) {_SALT} if sticks named",
        "http-request set-var(txn.unit) var(txn.client),concat(:,txn.salt),sha1 if sticks named",
        f"http-request set-var(txn.number) var(txn.unit),bytes(0,4),hex,hex2i,{NUMBER} if sticks named",
        f"http-request set-var(txn.mark) {_FLOOR},add(1) if sticks",
        "http-request set-var(txn.repeat) bool(true) if sticks { var(txn.mark),sub(txn.number) -m int gt 1 }",
        f"http-request track-sc0 var(txn.unit) table {TABLE} if sticks named !{{ var(txn.repeat) -m found }}",
        "http-request set-var(txn.repeat) bool(true) if sticks named !{ var(txn.repeat) -m found }"
        f" {{ sc_get_gpt(0,0,{TABLE}),sub(txn.mark) -m int 0 }}",
        "http-request sc-set-gpt(0,0) var(txn.mark) if sticks named !{ var(txn.repeat) -m found }",
        f"http-request set-header {REPEAT_HEADER} 1 if {{ var(txn.repeat) -m found }}",
        # Workers read the time stamp quickest where it is the last header.
        "http-request set-header X-Tidegate-Start %[req.hdr(X-Tidegate-Start)] if { var(txn.repeat) -m found }",
    ]
