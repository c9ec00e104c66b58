"""Rules of the public frontend: they let most requests leave early, keep each client on one version, and reject
what another site's web page makes a browser send, and what another proxy forwards, where requests are not signed.
Pure."""

from tidegate.auth import same_site
from tidegate.domain.sessions import SESSION_HEADER
from tidegate.domain.traffic import WHOLE
from tidegate.domain.worker_stats import REPEAT_HEADER
from tidegate.proxy import succession
from tidegate.proxy.options import Options
from tidegate.proxy.responses import aws_or_openai_response, quote

SIGNED = "req.hdr(Authorization) -m found"
"""True for most signed requests; others have the signature in the query."""


def usual_host(options: Options) -> str:
    """True for the host names that nearly every request has."""
    host, port = options.host if ":" not in options.host else f"[{options.host}]", options.port
    names = " ".join(dict.fromkeys((f"127.0.0.1:{port}", f"localhost:{port}", f"{host}:{port}")))
    return f"req.fhdr(Host) -m str -i {names}"


def render_same_site_rules(options: Options) -> str:
    """Render the rules for a proxy without access keys, which reject requests that another site's web page makes a
    browser send, or that a proxy forwards. The two host names that nearly every request has need no regular
    expression."""
    name = "AccessDeniedException"
    foreign, page, forwarded = (
        aws_or_openai_response(name, {"__type": name, "Message": text, "message": text}, name, "permission_error")
        for text in (same_site.FOREIGN_HOST, same_site.FOREIGN_PAGE, same_site.FORWARDED)
    )
    origin, said = "req.fhdr(Origin)", "req.fhdr(Sec-Fetch-Site)"
    compared = f"{origin},regsub(^https?://,),strcmp(txn.page)"
    own_sites = " ".join(same_site.OWN_SITES)
    added = "\n".join(f"  acl forwarded req.fhdr_cnt({name}) gt 0" for name in same_site.FORWARDED_NAMES)
    return f"""\
  acl forwarded req.hdr_names -m sub -i {same_site.FORWARDED_PART}
{added}
  http-request return status 403 {forwarded} if forwarded
  acl own_host {usual_host(options)}
  acl own_host req.fhdr(Host) -m reg -i {quote(options.own_hosts)}
  http-request return status 403 {foreign} if !own_host
  # Only browsers set these headers: other clients pay for one lookup each.
  http-request set-var(txn.page) req.fhdr(Host) if {{ {origin} -m found }} or {{ {said} -m found }}
  acl page var(txn.page) -m found
  acl other_page {compared} gt 0
  acl other_page {compared} lt 0
  acl other_page req.fhdr_cnt(Origin) gt 1
  acl origin {origin} -m found
  acl web {origin} -m beg http:// https://
  acl other_page req.fhdr_cnt(Sec-Fetch-Site) gt 1
  acl own_site {said} -m str {own_sites}
  http-request return status 403 {page} if page other_page or origin !web or page {{ {said} -m found }} !own_site
"""


# Rules by which most requests leave the public frontend early: those that need none of the checks behind. Pure.
# Each check costs a lookup, and all of them together a tenth of the proxy's own instructions. One look at the
# names of a request's headers says that most of them concern it no more than any other.


CHECKED_NAMES = (same_site.FORWARDED_PART, *same_site.FORWARDED_NAMES, "origin", "sec-fetch-site")
"""What header names have, or are, by which unsigned requests may be refused."""
ROUTING_NAMES = ("x-tidegate-", "x-amzn-sagemaker-target-variant", SESSION_HEADER.lower())
"""The same of headers that are removed, or choose a route."""


def render_rules(options: Options, single_fleet: str) -> str:
    """Rules that follow the lookup of the routes; the last one is for all other requests. ``single_fleet``: true if
    all requests of the endpoint go to one fleet. A request is usual if, besides, its target is one of the map,
    without a query, its body is not too large, and no name of a header has a part by which a rule could tell it from
    others."""
    names = " ".join((*CHECKED_NAMES, *ROUTING_NAMES))
    admitted = SIGNED if options.signed else usual_host(options)
    conditions = (
        "{ var(txn.routes) -m found }",
        single_fleet,
        "!{ query -m found }",
        f"!{{ req.hdr_names -m sub -i {names} }}",
        f"{{ {admitted} }}",
        f"!{{ req.body_size gt {options.max_body} }}",
    )
    own = f"{{ so_name {succession.SOCKET} }} {{ req.hdr(X-Tidegate-Start) -m found }}"
    return f"""\
  http-request set-var(txn.usual) bool(true) if {" ".join(conditions)}
  acl usual var(txn.usual) -m found
  http-request set-header X-Tidegate-Start %[date(0,us)] if usual
  http-request allow if usual
  http-request set-var(txn.again) bool(true) if {own}
  http-request del-header X-Tidegate- -m beg if !{{ var(txn.again) -m found }}
"""


# Keeps each client on one version of a rollout, with HAProxy's rules, and marks requests that are no new unit.
# Pure. A request's number from 0 to 9,999 decides which version it goes to. Where the routes name a header, it is
# a hash of the header's value and of a salt of the rollout: the new version has the numbers below its share, so
# whoever it answers stays there while the share grows. A request without that header has a number by chance, as
# all others have. The clients, and not their requests, are what chance assigns to the versions, so a comparison of
# these counts each client once in a stage. It counts only those whom the stage assigns: whose number is not below
# the share of the stage before (the floor), as those are on the new version already. All other requests carry
# REPEAT_HEADER. The floor of the last stage in which a client was counted, plus 1, is kept in a table, which a
# process hands on at a reload; a full table forgets the client that was not seen for longest.


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
