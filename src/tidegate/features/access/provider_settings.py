"""Whether the settings name a provider of identity that can be used."""

from importlib.util import find_spec
from urllib.parse import urlsplit

from tidegate.domain.errors import StartupError
from tidegate.settings import Settings


def check_provider(settings: Settings) -> None:
    """Raises StartupError."""
    if not settings.oidc_issuer:
        return
    missing = [
        name
        for name, value in (
            ("TIDEGATE_OIDC_CLIENT", settings.oidc_client),
            ("TIDEGATE_OIDC_ROLES", settings.oidc_roles),
            ("TIDEGATE_PUBLIC_URL", settings.public_url),
        )
        if not value
    ]
    parts = urlsplit(settings.oidc_issuer)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise StartupError("TIDEGATE_OIDC_ISSUER must begin with https://")
    if find_spec("joserfc") is None:
        raise StartupError("OpenID Connect needs joserfc: pip install 'tidegate[oidc]'")
    if missing:
        raise StartupError(f"TIDEGATE_OIDC_ISSUER is set without {' and '.join(missing)}: see docs/security.md")
