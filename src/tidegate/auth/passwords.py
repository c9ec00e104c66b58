"""Passwords, hashed with scrypt (RFC 7914, of the standard library), and secrets of sessions and API tokens. Pure.

The cost is OWASP's recommendation for scrypt (N = 2^15, r = 8, p = 3: 32 MiB, a quarter of a second of a processor).
The encoded text has it, so that hashes of another cost can still be verified."""

import base64
import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass

from tidegate.domain.access import MAX_PASSWORD, MIN_PASSWORD
from tidegate.domain.errors import Invalid

SALT_BYTES = 16
_BLOCK = 8
_LENGTH = 32
_MEMORY = 256 * 1024 * 1024
"""Bytes that scrypt may use at most."""


@dataclass(frozen=True)
class Cost:
    """``log2``: of N; ``parallel``: p."""

    log2: int = 15
    parallel: int = 3


COST = Cost()


def hash_password(password: str, salt: bytes, cost: Cost = COST) -> str:
    """``scrypt$LOG2$P$SALT$HASH``. Raises Invalid for a password that is too short or too long."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Invalid(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters, this one {len(password)}")
    made = _derive(password, salt, cost)
    return "$".join(("scrypt", str(cost.log2), str(cost.parallel), _encode(salt), _encode(made)))


def is_password(password: str, encoded: str) -> bool:
    """Whether this is the password; False for a hash that cannot be read."""
    if len(password) > MAX_PASSWORD:
        return False
    try:
        kind, log2, parallel, salt, expected = encoded.split("$")
        if kind != "scrypt":
            return False
        made = _derive(password, base64.b64decode(salt), Cost(int(log2), int(parallel)))
    except (ValueError, TypeError, OverflowError):
        return False
    return hmac.compare_digest(_encode(made).encode(), expected.encode())


def decoy(cost: Cost = COST) -> str:
    """A hash that no password has, for names that nobody has: verifying takes as long as for a user's."""
    return "$".join(("scrypt", str(cost.log2), str(cost.parallel), _encode(bytes(SALT_BYTES)), "none"))


def _derive(password: str, salt: bytes, cost: Cost) -> bytes:
    # Keyboards and systems differ in how they compose letters with accents.
    text = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(
        text, salt=salt, n=1 << cost.log2, r=_BLOCK, p=cost.parallel, maxmem=_MEMORY, dklen=_LENGTH
    )


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


# Secrets of sessions and API tokens: 256 random bits, of which only a SHA-256 digest is stored. Pure. A slow hash
# would add nothing: such a secret cannot be guessed.


TOKEN_PREFIX = "tidegate_"
"""Prefix of API tokens, by which scanners of leaked secrets can find them."""
SECRET_BYTES = 32
ID_BYTES = 6
_TOKEN = re.compile(rf"{TOKEN_PREFIX}([0-9a-f]{{{2 * ID_BYTES}}})_([A-Za-z0-9_-]{{43}})")


def make_secret(random: bytes) -> str:
    return base64.urlsafe_b64encode(random).rstrip(b"=").decode()


def make_token(id: str, random: bytes) -> str:
    """The text that its owner gets."""
    return f"{TOKEN_PREFIX}{id}_{make_secret(random)}"


def token_id(token: str) -> str | None:
    """Id of a token; None for text that is none."""
    found = _TOKEN.fullmatch(token)
    return found[1] if found else None


def digest_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
