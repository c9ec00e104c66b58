"""Requests to a provider of OpenID Connect: for its addresses, its keys, and tokens in exchange for a code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from tidegate.domain.errors import AuthError, Unavailable
from tidegate.features.access import openid
from tidegate.features.access.openid import Client
from tidegate.gateway.paths import LOGIN
from tidegate.settings import Settings

TIMEOUT = 10.0
DISCOVERY = "/.well-known/openid-configuration"
KEPT = 3600.0
"""Seconds that the provider's addresses are kept."""
KEYS_EVERY = 60.0
"""Seconds between two looks for its keys, which it may replace at any time."""
ADDRESSES = ("authorization_endpoint", "token_endpoint", "jwks_uri")


def make_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=TIMEOUT)


@dataclass
class OpenIdProvider:
    settings: Settings
    now: Callable[[], datetime]
    make_client: Callable[[], httpx.AsyncClient] = make_client
    _found: Mapping[str, Any] = field(default_factory=dict)
    _found_at: float = 0.0
    _keys: Mapping[str, Any] = field(default_factory=dict)
    _keys_at: float = 0.0

    @property
    def client(self) -> Client:
        """The issuer as it calls itself, which may end in a slash."""
        settings = self.settings
        issuer = str(self._found.get("issuer", settings.oidc_issuer))
        return Client(issuer, settings.oidc_client, f"{settings.public_url}{LOGIN}/callback")

    async def authorization_address(self, state: str, nonce: str, verifier: str) -> str:
        """Raises Unavailable."""
        endpoint = (await self._addresses())["authorization_endpoint"]
        return openid.authorization_address(endpoint, self.client, state, nonce, verifier)

    async def read_claims(self, code: str, nonce: str, verifier: str) -> Mapping[str, Any]:
        """The claims about the person for whom the provider gave this code. Raises AuthError, Unavailable."""
        token = await self._exchange(code, verifier)
        try:
            return openid.read_id_token(token, await self._read_keys(), self.client, nonce, self.now())
        except AuthError:
            if self._age(self._keys_at) < KEYS_EVERY:
                raise
        self._keys = {}  # it may have new ones
        return openid.read_id_token(token, await self._read_keys(), self.client, nonce, self.now())

    async def _exchange(self, code: str, verifier: str) -> str:
        settings, found = self.settings, await self._addresses()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect,
            "code_verifier": verifier,
        }
        methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        basic = None
        if settings.oidc_secret and "client_secret_basic" in methods:
            basic = httpx.BasicAuth(settings.oidc_client, settings.oidc_secret)
        else:
            form["client_id"] = settings.oidc_client
            form |= {"client_secret": settings.oidc_secret} if settings.oidc_secret else {}
        told = await self._ask("POST", found["token_endpoint"], data=form, auth=basic)
        if not isinstance(token := told.get("id_token"), str):
            raise AuthError("The provider gave no ID token for the code: sign in again.")
        return token

    async def _read_keys(self) -> Mapping[str, Any]:
        if not self._keys:
            self._keys = await self._ask("GET", (await self._addresses())["jwks_uri"])
            self._keys_at = self.now().timestamp()
        return self._keys

    async def _addresses(self) -> Mapping[str, Any]:
        if not self._found or self._age(self._found_at) > KEPT:
            issuer = self.settings.oidc_issuer
            found = await self._ask("GET", f"{issuer}{DISCOVERY}")
            if str(found.get("issuer", "")).rstrip("/") != issuer:
                raise Unavailable(f"{issuer} says that it is another provider of identity")
            for name in ADDRESSES:
                _check_address(issuer, found.get(name), name)
            self._found, self._found_at = found, self.now().timestamp()
        return self._found

    def _age(self, since: float) -> float:
        return abs(self.now().timestamp() - since)

    async def _ask(self, method: str, address: str, **options: Any) -> Mapping[str, Any]:
        """The JSON object that it answers. What it says of a refusal is not repeated: it may quote secrets."""
        try:
            async with self.make_client() as http:
                answer = await http.request(method, address, headers={"accept": "application/json"}, **options)
            told = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable(f"the provider of identity does not answer: {type(error).__name__}") from None
        if answer.status_code in (400, 401):
            raise AuthError("The provider does not accept this login: sign in again.")
        if answer.status_code != 200 or not isinstance(told, dict):
            raise Unavailable(f"the provider of identity answered {answer.status_code}")
        return told


def _check_address(issuer: str, address: object, name: str) -> None:
    """Refuse an address that is neither https nor of the issuer's scheme, because codes, secrets and keys travel to
    it. Raises Unavailable."""
    if not isinstance(address, str) or urlsplit(address).scheme not in ("https", urlsplit(issuer).scheme):
        raise Unavailable(f"the provider of identity {issuer} gives no usable {name}")
