"""Whether callers must say who they are, and what recognises them."""

import logging
import secrets
from dataclasses import replace
from datetime import timedelta

from tidegate.auth import keys, passwords
from tidegate.auth.logins import Lifetimes, Logins
from tidegate.domain.access import Role
from tidegate.domain.errors import StartupError
from tidegate.gateway.paths import LOGIN
from tidegate.host.features import describe_switched_off, features
from tidegate.settings import Settings
from tidegate.store import SqlStore
from tidegate.store.access import SqlAccess

log = logging.getLogger("tidegate")

OWN_KEY = "tidegate-console"
"""Id of the key that the server signs predictions of its users with, where no other key may ask models."""


async def require_login(settings: Settings, store: SqlStore) -> tuple[Settings, bool]:
    """Whether every request must be authenticated, and settings with a key for predictions. Raises StartupError for
    listening beyond loopback where nobody would be asked."""
    people = bool(settings.oidc_issuer) or bool(await SqlAccess(store.database).users())
    required = keys.is_login_required(settings, people)
    if not required:
        return settings, False
    _check_roots(settings)
    if not settings.loopback and not settings.public_url.startswith("https://"):
        log.warning(
            "passwords and sessions travel unencrypted: put TLS in front, and set TIDEGATE_PUBLIC_URL=https://..."
        )
    if keys.is_published(settings) and not settings.trusted_proxies:
        log.warning(
            "TIDEGATE_PUBLIC_URL is set without TIDEGATE_TRUSTED_PROXIES: all who sign in through the proxy count as "
            "one address, so that one who guesses passwords locks out everybody"
        )
    if keys.prediction_keys(settings):
        return settings, True
    # Known to the workers of this server alone, who read it from their file of keys.
    own = {OWN_KEY: secrets.token_urlsafe(32)}
    roles = {**settings.key_roles, OWN_KEY: Role.OPERATOR}
    return replace(settings, access_keys={**settings.access_keys, **own}, key_roles=roles), True


def _check_roots(settings: Settings) -> None:
    """Raises StartupError where whoever may create a model could read the server's own secrets."""
    if not settings.file_roots:
        log.warning("with a login file:// reads uploaded files alone: TIDEGATE_FILE_ROOTS names folders for it")
    state = settings.state.expanduser().resolve()
    for root in settings.file_roots:
        if state.is_relative_to(root.expanduser().resolve()):
            raise StartupError(
                f"TIDEGATE_FILE_ROOTS: {root} holds the state folder {state} with the server's keys: name folders "
                "that do not hold it"
            )


def check_sign_in() -> None:
    """Raises StartupError where nobody could sign in."""
    if any(LOGIN in one.feature.pages for one in features()):
        return
    off = (one.feature.name for one in features().switched_off if LOGIN in one.feature.pages)
    why = next(map(describe_switched_off, off), "no feature that is installed has a page for it")
    raise StartupError(f"a login is required, and {why}: nobody could sign in")


def join_logins(settings: Settings, store: SqlStore) -> Logins:
    whole = timedelta(hours=settings.session_hours)
    lifetimes = Lifetimes(whole, min(whole, timedelta(hours=1)))
    return Logins(SqlAccess(store.database), secrets.token_bytes, lifetimes, provider=mark_provider(settings))


def mark_provider(settings: Settings) -> str:
    """A text that changes with what people of the provider of identity are granted; empty: there is none."""
    if not settings.oidc_issuer:
        return ""
    granting = (
        settings.oidc_issuer,
        settings.oidc_client,
        settings.oidc_claim,
        sorted(settings.oidc_roles.items()),
    )
    return passwords.digest_secret(repr(granting))
