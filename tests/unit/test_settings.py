"""Variables that cannot be used are named, and a secret in one is not shown."""

import pytest

from tidegate.domain.errors import StartupError
from tidegate.settings import Settings


@pytest.mark.parametrize(
    ("variable", "value", "secret"),
    [
        ("TIDEGATE_ACCESS_KEYS", "AKIAEXAMPLE:s3cr3t,half-s3cr3t", "s3cr3t"),
        ("TIDEGATE_TRACE_ENDPOINT", "https://me:s3cr3t@collector.example.com", "s3cr3t"),
        ("TIDEGATE_PORT", "me:s3cr3t@5432", "s3cr3t"),
    ],
)
def test_a_secret_that_cannot_be_used_is_not_shown(variable: str, value: str, secret: str) -> None:
    with pytest.raises(StartupError) as refused:
        Settings.from_environment({variable: value})
    assert str(refused.value).startswith(f"{variable} cannot be used: ")
    assert secret not in str(refused.value)


def test_another_value_that_cannot_be_used_is_shown() -> None:
    with pytest.raises(StartupError, match=r"^TIDEGATE_PORT='eighty' cannot be used: "):
        Settings.from_environment({"TIDEGATE_PORT": "eighty"})


def test_settings_that_are_printed_show_no_secret() -> None:
    given = {
        "TIDEGATE_ACCESS_KEYS": "AKIAEXAMPLE:s3cr3t",
        "TIDEGATE_DATABASE_URL": "postgresql://me:s3cr3t@db/tidegate",
        "TIDEGATE_WEBHOOK_SECRET": "s3cr3t",
        "TIDEGATE_OIDC_SECRET": "s3cr3t",
    }
    assert "s3cr3t" not in repr(Settings.from_environment(given))
