"""Rejects what another site's web page makes a browser send, and what another proxy forwards, where requests are not
signed. Pure."""

from tidegate.auth import same_site
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
