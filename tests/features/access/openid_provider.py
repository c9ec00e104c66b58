"""A provider of OpenID Connect in memory, for tests: its addresses, keys and tokens, and what a hostile one says."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
from joserfc import jwk, jwt

from tidegate.features.access.openid import challenge

ISSUER = "https://login.example"
CLIENT, SECRET = "tidegate", "the-clients-secret"


@cache
def make_key(number: int) -> jwk.RSAKey:
    """Making one takes a second, so there are few."""
    return jwk.RSAKey.generate_key(2048, {"kid": "one"})


@dataclass
class FakeProvider:
    now: Callable[[], datetime]
    claims: dict[str, Any] = field(default_factory=dict)
    """Over those of a good token; None removes one."""
    discovery: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    key: jwk.RSAKey = field(default_factory=lambda: make_key(1))
    signer: Any = None
    """Signs instead of the key that is published."""
    down: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    """Code -> the authorization request that it was given for."""
    asked: list[str] = field(default_factory=list)

    def authorize(self, address: str) -> str:
        """A person signs in: the address that the provider sends the browser back to."""
        asked = dict(parse_qsl(urlsplit(address).query))
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.down:
            raise httpx.ConnectError("no route")
        if request.url.path == "/.well-known/openid-configuration":
            found = {
                "issuer": ISSUER,
                "authorization_endpoint": f"{ISSUER}/authorize",
                "token_endpoint": f"{ISSUER}/token",
                "jwks_uri": f"{ISSUER}/keys",
            }
            return httpx.Response(200, json=found | self.discovery)
        if request.url.path == "/keys":
            return httpx.Response(200, json={"keys": [self.key.as_dict(private=False)]})
        return self._token(request)

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        shown = base64.b64decode(request.headers.get("authorization", "Basic ").removeprefix("Basic ")).decode()
        asked = self.codes.pop(form["code"], None)  # a code is good once
        if asked is None or shown != f"{CLIENT}:{SECRET}" or form["redirect_uri"] != asked["redirect_uri"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        if challenge(form["code_verifier"]) != asked["code_challenge"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        now = int(self.now().timestamp())
        good = {"iss": ISSUER, "aud": CLIENT, "sub": "42", "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims = {name: value for name, value in (good | self.claims).items() if value is not None}
        if self.algorithm == "none":
            parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
            text = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
            return httpx.Response(200, json={"id_token": f"{text}."})
        signer = self.signer or self.key
        made = jwt.encode({"alg": self.algorithm, "kid": "one"}, claims, signer, algorithms=[self.algorithm])
        return httpx.Response(200, json={"id_token": made, "access_token": "unused", "token_type": "Bearer"})
