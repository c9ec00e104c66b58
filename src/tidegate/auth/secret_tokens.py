"""Secrets of sessions and API tokens: 256 random bits, of which only a SHA-256 digest is stored. Pure.

A slow hash would add nothing: such a secret cannot be guessed."""

import base64
import hashlib
import re

PREFIX = "tidegate_"
"""Prefix of API tokens, by which scanners of leaked secrets can find them."""
SECRET_BYTES = 32
ID_BYTES = 6
_TOKEN = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * ID_BYTES}}})_([A-Za-z0-9_-]{{43}})")


def make_secret(random: bytes) -> str:
    return base64.urlsafe_b64encode(random).rstrip(b"=").decode()


def make_token(id: str, random: bytes) -> str:
    """The text that its owner gets."""
    return f"{PREFIX}{id}_{make_secret(random)}"


def token_id(token: str) -> str | None:
    """Id of a token; None for text that is none."""
    found = _TOKEN.fullmatch(token)
    return found[1] if found else None


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
