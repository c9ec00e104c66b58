"""OpenID Connect: the authorization request, the check of an ID token, and the role that its claims give. Pure.

The authorization code flow with PKCE (RFC 7636), state and nonce, as OpenID Connect Core 1.0 describes it; joserfc
verifies signatures and claims."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from tidegate.domain.access import Role
from tidegate.domain.errors import AuthError
from tidegate.host.late_import import load

SCOPE = "openid profile email"
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
)
"""Signatures by a key that the provider alone has. Others, ``none`` above all, are refused."""
LEEWAY = 60
"""Seconds by which the provider's clock may differ."""
LONGEST_NAME = 120


@dataclass(frozen=True)
class Client:
    """The registration of tidegate with the provider. ``redirect``: the address to which the provider sends people
    back."""

    issuer: str
    id: str
    redirect: str


def challenge(verifier: str) -> str:
    """The code challenge (S256) of a PKCE verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_address(endpoint: str, client: Client, state: str, nonce: str, verifier: str) -> str:
    """Return the address to which a browser is sent to sign in."""
    query = {
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": client.redirect,
        "scope": SCOPE,
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


def read_id_token(
    token: str, keys: Mapping[str, Any], client: Client, nonce: str, now: datetime
) -> Mapping[str, Any]:
    """The claims of a token that this provider signed for this client and this login. ``keys``: the provider's, as a
    JSON Web Key Set. Raises AuthError."""
    jwt, wrong = load("joserfc", "jwt"), load("joserfc.errors", "JoseError")
    try:
        decoded = jwt.decode(
            token, load("joserfc.jwk", "KeySet").import_key_set(keys), algorithms=list(ALGORITHMS)
        )
        asked = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=LEEWAY,
            iss={"essential": True, "value": client.issuer},
            aud={"essential": True, "value": client.id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        asked.validate(decoded.claims)
    except (wrong, ValueError, TypeError, KeyError) as error:
        raise AuthError(f"The provider's ID token is not good: {type(error).__name__}") from None
    claims: Mapping[str, Any] = decoded.claims
    audience = claims["aud"]
    if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != client.id:
        raise AuthError("The provider's ID token is not good: it is for another client, too")
    return claims


def user_name(claims: Mapping[str, Any]) -> str:
    """Name for journals and the audit: a verified mail address, or what the provider calls the user, with the
    identifier that nobody else has there. The prefix tells it from names of users of the server's own."""
    mail, subject = claims.get("email"), str(claims["sub"])
    if isinstance(mail, str) and mail and claims.get("email_verified") is True:
        return _plain(f"oidc:{mail}")
    called = claims.get("preferred_username")
    return _plain(f"oidc:{called}#{subject}" if isinstance(called, str) and called else f"oidc:{subject}")


def find_role(claims: Mapping[str, Any], claim: str, roles: Mapping[str, Role]) -> Role | None:
    """The highest role that the values of a claim have; None: none of them has one. ``claim``: its name, or the way
    to it through objects, with dots."""
    values = {"*", *_values(claims, claim)}
    granted = [role for value, role in roles.items() if value in values]
    return max(granted, key=list(Role).index, default=None)


def _values(claims: Mapping[str, Any], claim: str) -> set[str]:
    found: Any = claims.get(claim)
    if found is None:
        found = claims
        for part in claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return {found}
    return {value for value in found if isinstance(value, str)} if isinstance(found, list) else set()


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:LONGEST_NAME]
