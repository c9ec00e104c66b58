"""Access keys: validate them, decide whether requests must be authenticated, and check bearer tokens."""

import hmac
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from tidegate.auth.same_site import is_loopback_name
from tidegate.domain.access import Access, Caller, Role
from tidegate.domain.errors import AuthError, StartupError
from tidegate.settings import Settings

MIN_SECRET_LENGTH = 8
BEARER = "Bearer "
"""Prefix of an Authorization header with a token."""


def is_login_required(settings: Settings, people: bool) -> bool:
    """Whether every request must be authenticated. ``people``: there are users, or a provider of identity. Raises
    StartupError for a server that others than this machine's users reach, with neither these nor keys."""
    if settings.access_keys or people:
        return True
    remedy = "set TIDEGATE_ACCESS_KEYS=ID:SECRET, add a user ('tidegate access user add')"
    if not settings.loopback:
        raise StartupError(
            f"Listening on {settings.host} without access keys or users would allow everybody: {remedy}, or listen "
            "on 127.0.0.1."
        )
    if is_published(settings):
        names = {"TIDEGATE_PUBLIC_URL": settings.public_url, "TIDEGATE_TRUSTED_PROXIES": settings.trusted_proxies}
        given = " and ".join(name for name, value in names.items() if value)
        raise StartupError(
            f"A proxy in front ({given}) without access keys or users would allow everybody: {remedy}, or unset "
            f"{given}."
        )
    return False


def is_published(settings: Settings) -> bool:
    """Whether a proxy in front is said to let others than this machine's users reach the server."""
    name = urlsplit(settings.public_url).hostname or ""
    return bool(settings.trusted_proxies) or (bool(name) and not is_loopback_name(name))


def serves_its_user_alone(settings: Settings) -> bool:
    """Whether all who reach the server may do what its own user may. ``settings``: with the keys that users bring."""
    return settings.loopback and not settings.access_keys and not is_published(settings)


def check_keys(settings: Settings) -> None:
    """Raises StartupError for keys that cannot be used, and for roles of keys that are not there."""
    for key_id, secret in settings.access_keys.items():
        _check(key_id, secret)
    if strangers := sorted(settings.key_roles.keys() - settings.access_keys.keys()):
        raise StartupError(f"TIDEGATE_KEY_ROLES names {strangers[0]!r}, which is not in TIDEGATE_ACCESS_KEYS")


def role_of_key(settings: Settings, key_id: str) -> Role:
    return settings.key_roles.get(key_id, Role.ADMIN)


def prediction_keys(settings: Settings) -> dict[str, str]:
    """Keys that may ask models: those that workers get to know."""
    return {
        key_id: secret
        for key_id, secret in settings.access_keys.items()
        if Caller(role=role_of_key(settings, key_id)).may(Access.USE)
    }


def check_bearer(authorization: str, keys: Mapping[str, str]) -> str:
    """Accept ``Bearer ID:SECRET`` of one of the keys, for clients that cannot sign; returns its id. Raises AuthError.

    Takes as long for an unknown id as for a wrong secret."""
    key_id, _, secret = authorization.removeprefix(BEARER).strip().partition(":")
    expected = keys.get(key_id)
    same = hmac.compare_digest(secret.encode(), (expected or secret + ".").encode())
    if expected is None or not same:
        raise AuthError("The bearer token is not ACCESS_KEY_ID:SECRET of an access key of this server.")
    return key_id


def _check(key_id: str, secret: str) -> None:
    """An id must fit into a signature's credential. A short secret can be guessed from a single request."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{3,128}", key_id):
        raise StartupError(
            f"Access key id {key_id!r} in TIDEGATE_ACCESS_KEYS is not valid: use 3 to 128 letters, digits, "
            "'_', '.' or '-'."
        )
    if len(secret) < MIN_SECRET_LENGTH:
        raise StartupError(
            f"The secret of access key {key_id} in TIDEGATE_ACCESS_KEYS is too short: use at least "
            f"{MIN_SECRET_LENGTH} characters."
        )
