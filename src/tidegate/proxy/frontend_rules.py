"""Rejects what another site's web page makes a browser send, and what another proxy forwards, where requests are not
signed. Pure."""

from tidegate.auth import same_site
from tidegate.domain.sessions import SESSION_HEADER
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
