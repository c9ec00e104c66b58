"""Recognise who sends a request: by a signature, an API token, or a session's cookie.

A browser sends a cookie whatever page asks, so a session counts only where the request comes from a page of this
server: by ``Host``, ``Origin`` and ``Sec-Fetch-Site`` (``auth.same_site``), and for changes by a token that only its
pages have, too."""

import hmac
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import Scope

from tidegate.auth import passwords, sigv4
from tidegate.auth import same_site as sites
from tidegate.auth.keys import BEARER, check_bearer, role_of_key
from tidegate.domain.access import ANYBODY, Access, Caller, Means
from tidegate.domain.errors import AuthError, CrossSite, SessionEnded
from tidegate.gateway import request_parsing
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.paths import CONSOLE, LOGIN, is_native_path
from tidegate.service.audit_trail import RequestedOperation, missing_login
from tidegate.settings import Settings
from tidegate.wire.routing import SCOPES, WireProtocol, guess_target

SIGNING_NAMES = {service: scope for scope, service in SCOPES.items()} | {"sagemaker-runtime": "sagemaker"}
"""Service -> the service name that its clients sign for. The native API is signed for ``sagemaker``."""
SAFE = ("GET", "HEAD")
SOURCE = "x-tidegate-source"
"""Header with the client's address. The proxy sets it and removes what clients send under this name."""
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"
_TOKEN = f"{BEARER}{passwords.TOKEN_PREFIX}"
"""How an Authorization header begins that shows an API token."""
FORM = "application/x-www-form-urlencoded"
OLD_PAGE = "This page is older than your session: load it again, or sign in."


async def recognise(gateway: Gateway, scope: Scope) -> Caller:
    """The caller; on the console's and the native API's paths it may be somebody who is not known. Raises AuthError
    for credentials that are not good, Invalid."""
    if not gateway.signed:
        return ANYBODY
    headers, native = Headers(scope=scope), is_native_path(scope["path"])
    shown = headers.get("authorization", "")
    if native:
        _check_host(gateway, headers, scope["path"])
    if shown.startswith(_TOKEN):
        return await gateway.logins.find_token(shown.removeprefix(BEARER).strip(), gateway.context.clock.now())
    if shows_signature(scope):
        return _verify_signature(gateway, scope, shown)
    secret = find_cookie(gateway.settings, headers) if native else None
    if secret:
        try:
            caller = await gateway.logins.find_session(secret, gateway.context.clock.now())
        except SessionEnded:
            return Caller(ended=True)  # who may sign in again
        await _check_change(gateway, scope, caller)
        return caller
    if not native:
        raise missing_login(Caller())
    return Caller()


def shows_signature(scope: Scope) -> bool:
    """Whether the request claims to be signed, or shows a key."""
    shown = Headers(scope=scope).get("authorization", "")
    return (bool(shown) and not shown.startswith(_TOKEN)) or b"X-Amz-" in scope["query_string"]


def _verify_signature(gateway: Gateway, scope: Scope, shown: str) -> Caller:
    settings, body = gateway.settings, scope["state"]["body"]
    target = None if is_native_path(scope["path"]) else guess_target(request_parsing.to_wire_request(scope, body))
    if target is not None and target.protocol is WireProtocol.OPENAI and shown.startswith(BEARER):
        key = check_bearer(shown, settings.access_keys)
    else:
        service = "sagemaker" if target is None else target.service
        key = sigv4.verify(
            request_parsing.to_signed_parts(scope, body),
            settings.access_keys,
            now=gateway.context.clock.now(),
            skew=settings.clock_skew,
            services={SIGNING_NAMES.get(service, service)},
        ).access_key
    return Caller(key, role_of_key(settings, key), Means.KEY)


# --- sessions ------------------------------------------------------------------------------------------------


def cookie_name(settings: Settings) -> str:
    """Cookies are shared by all ports of a host; the prefix makes browsers refuse one that is set without TLS or by
    another host."""
    return f"{'__Host-' if is_encrypted(settings) else ''}tidegate_session_{settings.port}"


def is_encrypted(settings: Settings) -> bool:
    return settings.public_url.startswith("https://")


def find_cookie(settings: Settings, headers: Headers) -> str | None:
    """The session's secret; None if there is none, or several: then somebody else set one."""
    pairs = (part.partition("=") for line in headers.getlist("cookie") for part in line.split(";"))
    found = {value.strip() for name, _, value in pairs if name.strip() == cookie_name(settings)}
    return found.pop() if len(found) == 1 else None


def check_site(gateway: Gateway, headers: Headers) -> None:
    """Refuse a change that a page of another site requests. Raises CrossSite."""
    given = (headers.getlist(name) for name in ("host", "origin", "sec-fetch-site"))
    if (why := sites.refusal_reason(gateway.own_hosts, *given)) is not None:
        raise CrossSite(FOREIGN_PAGE if why == sites.FOREIGN_PAGE else why)


FOREIGN_PAGE = "A web page of another site may not change anything here."


def _check_host(gateway: Gateway, headers: Headers, path: str) -> None:
    """Browsers may use names of this server alone (DNS rebinding); clients that sign cover ``Host`` themselves."""
    if not (path.startswith(CONSOLE) or "cookie" in headers):
        return
    if (why := sites.refusal_reason(gateway.own_hosts, headers.getlist("host"), (), ())) is not None:
        raise AuthError(why)


async def _check_change(gateway: Gateway, scope: Scope, caller: Caller) -> None:
    """Refuse a change that is not from a page of this session, and record it. Raises CrossSite."""
    if scope["method"] in SAFE or scope["path"] == LOGIN:  # the login checks the site itself
        return
    headers = Headers(scope=scope)
    try:
        check_site(gateway, headers)
        if not hmac.compare_digest(_csrf_token(scope, headers).encode(), caller.csrf.encode()):
            raise CrossSite(OLD_PAGE)
    except CrossSite as error:
        action = f"{scope['method']} {scope['path']}"
        doing = RequestedOperation(caller, Access.CHANGE, action, source=find_source(gateway.settings, headers))
        await gateway.trail.note_refusal(doing, error)
        raise


def _csrf_token(scope: Scope, headers: Headers) -> str:
    if CSRF_HEADER in headers:
        return headers[CSRF_HEADER]
    return parse_form(scope).get(CSRF_FIELD, "")


def parse_form(scope: Scope) -> dict[str, str]:
    """Fields of a form that was sent as a body, the first of each name; none for any other body."""
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        return {}
    body = bytes(scope["state"]["body"] or b"").decode("utf-8", "replace")
    try:
        return {
            name: values[0] for name, values in parse_qs(body, keep_blank_values=True, max_num_fields=20).items()
        }
    except ValueError:
        return {}


# --- where it comes from -------------------------------------------------------------------------------------


def find_source(settings: Settings, headers: Headers) -> str:
    """The client's address: what the proxy saw, or, of proxies that are trusted, what they say."""
    seen = headers.get(SOURCE, "")
    said = [part.strip() for line in headers.getlist("x-forwarded-for") for part in line.split(",")]
    while said and _is_trusted(seen, settings):
        seen = said.pop()
    return str(address) if (address := _parse_address(seen)) is not None else ""


def network_of(source: str) -> str:
    """Return the network whose requests are limited together: one address of IPv4, or 64 bits of IPv6, within which
    everybody has as many addresses as they like. A source that is not an address is returned unchanged."""
    address = _parse_address(source)
    if address is None:
        return source
    if address.version == 4:
        return str(address)
    return str(ip_network(f"{address}/64", strict=False))


def _is_trusted(text: str, settings: Settings) -> bool:
    address = _parse_address(text)
    return address is not None and any(address in ip_network(each) for each in settings.trusted_proxies)


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an IP address; None if the text is none. An IPv4 address is returned as one even if a socket of both
    kinds shows it as IPv6 (``::ffff:192.0.2.1``)."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found if found.version == 4 else found.ipv4_mapped or found
