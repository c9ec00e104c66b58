"""Access keys: are they usable, must requests be signed with one, and does a bearer token hold one?"""

import hmac
import re
from collections.abc import Mapping

from tidegate.domain.errors import AuthError, StartupError
from tidegate.settings import Settings

MIN_SECRET_LENGTH = 8
BEARER = "Bearer "
"""How an Authorization header with a token begins."""


def is_signing_required(settings: Settings) -> bool:
    """Whether every request must be signed. Raises StartupError for keys that cannot be used, and for listening
    beyond loopback without any."""
    for key_id, secret in settings.access_keys.items():
        _check(key_id, secret)
    if not settings.access_keys and not settings.loopback:
        raise StartupError(
            f"Listening on {settings.host} without access keys would let anybody in: set "
            "TIDEGATE_ACCESS_KEYS=ID:SECRET, or listen on 127.0.0.1."
        )
    return bool(settings.access_keys)


def check_bearer(authorization: str, keys: Mapping[str, str]) -> None:
    """Lets in who shows ``Bearer ID:SECRET`` of one of the keys; raises AuthError. For clients that cannot sign.

    Takes as long for an unknown id as for a wrong secret."""
    key_id, _, secret = authorization.removeprefix(BEARER).strip().partition(":")
    expected = keys.get(key_id)
    same = hmac.compare_digest(secret.encode(), (expected or secret + ".").encode())
    if expected is None or not same:
        raise AuthError("The bearer token is not ACCESS_KEY_ID:SECRET of an access key of this server.")


def _check(key_id: str, secret: str) -> None:
    """An id must fit into a signature's credential; a secret that is short can be guessed from one request."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{3,128}", key_id):
        raise StartupError(
            f"Access key id {key_id!r} in TIDEGATE_ACCESS_KEYS cannot be used: it takes 3 to 128 letters, digits, "
            "'_', '.' or '-'."
        )
    if len(secret) < MIN_SECRET_LENGTH:
        raise StartupError(
            f"The secret of access key {key_id} in TIDEGATE_ACCESS_KEYS is too short: {MIN_SECRET_LENGTH} "
            "characters or more."
        )
