"""Signing in by a provider of OpenID Connect: the way to it and the way back."""

import hmac
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tidegate.auth import passwords
from tidegate.domain.access import Access, Caller, Means
from tidegate.domain.errors import AuthError, NotAllowed, NotFound, TidegateError, TooManyAttempts
from tidegate.features.access import openid
from tidegate.features.access.login_pages import NO_STORE, begin_session, next_page, show_form
from tidegate.features.access.openid_provider import OpenIdProvider
from tidegate.gateway import callers
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import LOGIN
from tidegate.host.attempt_limits import AttemptAllowance
from tidegate.service.audit_trail import RequestedOperation

LONGEST = timedelta(minutes=10)
"""Time that somebody may take at the provider."""
MAX_PENDING = 1_000
BEGUN = AttemptAllowance(30, 300)
"""Logins that an address may begin in 300 seconds."""
AGAIN = "This login is not known here, or was used already: sign in again."


@dataclass(frozen=True)
class _Pending:
    """A login that has begun. ``browser``: digest of the cookie of the browser that began it."""

    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    browser: str = field(repr=False)
    target: str
    until: datetime


@dataclass
class _OpenIdLogins:
    gateway: Gateway
    provider: OpenIdProvider
    _pending: OrderedDict[str, _Pending] = field(default_factory=OrderedDict)
    """By the digest of the state."""

    @property
    def cookie(self) -> str:
        return callers.cookie_name(self.gateway.settings).replace("session", "login")

    async def begin(self, request: Request) -> Response:
        gateway, now = self.gateway, self.gateway.context.clock.now()
        if not gateway.settings.oidc_issuer:
            raise NotFound("there is no provider of identity: set TIDEGATE_OIDC_ISSUER")
        source = callers.network_of(callers.find_source(gateway.settings, request.headers))
        wait = gateway.logins.limits.take(f"provider {source}", BEGUN, now.timestamp())
        if wait > 0:
            raise TooManyAttempts(f"Too many attempts to sign in: try again in {wait:.0f} s.", wait)
        state, nonce, verifier, browser = (
            passwords.make_secret(gateway.logins.random(passwords.SECRET_BYTES)) for _ in range(4)
        )
        address = await self.provider.authorization_address(state, nonce, verifier)
        pending = _Pending(
            nonce, verifier, passwords.digest_secret(browser), next_page(request.query_params), now + LONGEST
        )
        self._pending[passwords.digest_secret(state)] = pending
        while len(self._pending) > MAX_PENDING:
            self._pending.popitem(last=False)
        answer = RedirectResponse(address, 303, headers=NO_STORE)
        secure = callers.is_encrypted(gateway.settings)
        answer.set_cookie(
            self.cookie,
            browser,
            max_age=int(LONGEST.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=secure,
        )
        return answer

    async def finish(self, request: Request) -> Response:
        gateway, settings = self.gateway, self.gateway.settings
        source = callers.find_source(settings, request.headers)
        try:
            pending = self._take(request)
            caller = await self._identify(request, pending)
        except (AuthError, TidegateError) as error:
            problem = error if isinstance(error, AuthError) else AuthError(error.message)
            who = Caller("(nobody)", None, Means.NONE)
            await gateway.trail.note_refusal(
                RequestedOperation(who, Access.CHANGE, "login by provider", source=source), problem
            )
            return await show_form(gateway, {}, problem=problem)
        doing = RequestedOperation(caller, Access.CHANGE, "login by provider", source=source)
        if caller.role is None:
            refused = NotAllowed(
                f"{caller.name} has no role here: whoever runs this server grants one by TIDEGATE_OIDC_ROLES."
            )
            await gateway.trail.note_refusal(doing, refused)
            return await show_form(gateway, {}, problem=refused)
        before = callers.find_cookie(settings, request.headers) or ""
        now = gateway.context.clock.now()
        secret = await gateway.logins.begin_external(caller.name, caller.role, now, before)
        await gateway.trail.note(doing)
        answer = begin_session(gateway, secret, pending.target)
        answer.delete_cookie(self.cookie, httponly=True, samesite="lax", secure=callers.is_encrypted(settings))
        return answer

    def _take(self, request: Request) -> _Pending:
        """The login that this browser began; it can be finished once."""
        pending = self._pending.pop(passwords.digest_secret(request.query_params.get("state", "")), None)
        shown = passwords.digest_secret(request.cookies.get(self.cookie, ""))
        if pending is None or self.gateway.context.clock.now() > pending.until:
            raise AuthError(AGAIN)
        if not hmac.compare_digest(shown, pending.browser):
            raise AuthError("This login was begun in another browser: sign in again.")
        return pending

    async def _identify(self, request: Request, pending: _Pending) -> Caller:
        """Raises AuthError, Unavailable."""
        asked, settings = request.query_params, self.gateway.settings
        if asked.get("iss", settings.oidc_issuer).rstrip("/") != settings.oidc_issuer:
            raise AuthError("The answer is of another provider: sign in again.")
        if "error" in asked or not asked.get("code"):
            raise AuthError("The provider did not let you in: sign in again, or ask whoever runs it.")
        claims = await self.provider.read_claims(asked["code"], pending.nonce, pending.verifier)
        role = openid.find_role(claims, settings.oidc_claim, settings.oidc_roles)
        return Caller(openid.user_name(claims), role, Means.SESSION)


def routes(gateway: Gateway, provider: OpenIdProvider | None = None) -> list[GuardedRoute]:
    made = _OpenIdLogins(gateway, provider or OpenIdProvider(gateway.settings, gateway.context.clock.now))
    return [
        GuardedRoute(gateway, f"{LOGIN}/provider", made.begin, Access.OPEN),
        GuardedRoute(gateway, f"{LOGIN}/callback", made.finish, Access.OPEN),
    ]
