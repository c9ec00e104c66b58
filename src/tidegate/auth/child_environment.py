"""Environment of the processes that the server starts: without secrets. Pure.

An environment can be read while the process lives (``/proc/PID/environ``), is inherited, and ends up in crash
reports. So only the controller's own environment has secrets, if its owner put them there; a process that needs one
reads it from a file with mode 0600."""

import re
from collections.abc import Iterator, Mapping

AWS_SECRETS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
)
"""Variables from which AWS's libraries read credentials."""
_OWN_SECRETS = (
    *("TIDEGATE_ACCESS_KEYS", "TIDEGATE_DATABASE_URL", "TIDEGATE_WEBHOOK_SECRET"),
    *("TIDEGATE_OIDC_SECRET", "TIDEGATE_TOKEN"),
)
_SECRET_WORD = re.compile(r".*(SECRET|PASSWORD|PASSWD|TOKEN|APIKEY)S?|PASSPHRASE|CREDENTIALS?|DSN")
_SECRET_KEYS = re.compile(r"(^|_)(API|ACCESS|PRIVATE|SECRET|AUTH|ENCRYPTION)_KEYS?($|_)|._PWD$|(^|_)DATABASE_URL$")
_OTLP_HEADERS = re.compile(r"OTEL_EXPORTER_OTLP_(\w+_)?HEADERS")
"""Headers for a collector, a token among them."""
_LOCATION_SUFFIXES = ("_FILE", "_PATH", "_DIR", "_URI", "_ARN")
"""Suffixes of names of variables that hold a secret's location, not the secret."""
_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)
_MIN_SECRET_LENGTH = 8
"""Minimum length of a secret that is searched for in the values of other variables."""
_ALWAYS_KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


def remove_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Remove variables that hold a secret: by their name, because the value is a URL with a password (except HTTP
    proxies, which downloads need), or because it contains one of the server's own secrets."""
    secrets = tuple(
        part for name in (*_OWN_SECRETS, *AWS_SECRETS) for part in _secret_parts(name, environment.get(name, ""))
    )
    return {
        name: value
        for name, value in environment.items()
        if name in _ALWAYS_KEPT
        or not (is_secret_name(name) or _shows_password(name, value) or _holds_any(secrets, value))
    }


def minimal_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment of a program that needs no configuration from the server's, such as HAProxy."""
    return {name: environment[name] for name in _ALWAYS_KEPT if name in environment}


def is_secret_name(name: str) -> bool:
    """Whether a variable's name indicates a secret."""
    name = name.upper()
    if name in _OWN_SECRETS or name in AWS_SECRETS or _OTLP_HEADERS.fullmatch(name):
        return True
    if name.endswith(_LOCATION_SUFFIXES):
        return False
    return _SECRET_KEYS.search(name) is not None or any(_SECRET_WORD.fullmatch(word) for word in name.split("_"))


def _shows_password(name: str, value: str) -> bool:
    return _WITH_PASSWORD.match(value) is not None and not name.lower().endswith("_proxy")


def _holds_any(secrets: tuple[str, ...], value: str) -> bool:
    return any(len(secret) >= _MIN_SECRET_LENGTH and secret in value for secret in secrets)


def _secret_parts(name: str, value: str) -> Iterator[str]:
    """Secrets within the value of one of the server's own variables."""
    if name == "TIDEGATE_ACCESS_KEYS":
        yield from (pair.partition(":")[2] for pair in value.split(","))
    elif name != "AWS_ACCESS_KEY_ID":  # an id is no secret
        yield value
        if _WITH_PASSWORD.match(value):
            yield value.partition("://")[2].rpartition("@")[0].partition(":")[2]
