"""Rules by which most requests leave the public frontend early: those that need none of the checks behind. Pure.

Each check costs a lookup, and all of them together a tenth of the proxy's own instructions. One look at the names of
a request's headers says that most of them concern it no more than any other.
"""

from tidegate.auth import same_site
from tidegate.domain.sessions import SESSION_HEADER
from tidegate.proxy import succession
from tidegate.proxy.options import Options
from tidegate.proxy.same_site_rules import SIGNED, usual_host

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
