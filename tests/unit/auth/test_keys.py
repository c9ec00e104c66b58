"""When requests must be signed, which keys can be used, and who shows one."""

import pytest

from tidegate.auth.keys import check_bearer, check_keys, is_login_required
from tidegate.domain.errors import AuthError, StartupError
from tidegate.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_loopback_nobody_must_sign(host: str) -> None:
    assert not is_login_required(Settings(host=host), False)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "tidegate.example"])
def test_with_keys_everybody_must_sign(host: str) -> None:
    assert is_login_required(Settings(host=host, access_keys={"AKID": "correct-horse"}), False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_beyond_loopback_without_keys_it_does_not_start(host: str) -> None:
    with pytest.raises(StartupError, match="TIDEGATE_ACCESS_KEYS=ID:SECRET"):
        is_login_required(Settings(host=host), False)


PUBLISHED = (
    Settings(public_url="https://tidegate.example"),
    Settings(public_url="https://192.0.2.1:8443"),
    Settings(public_url="https://localhost.tidegate.example"),
    Settings(trusted_proxies=("127.0.0.1",)),
)


@pytest.mark.parametrize("settings", PUBLISHED, ids=repr)
def test_published_on_loopback_without_keys_it_does_not_start(settings: Settings) -> None:
    with pytest.raises(StartupError, match="tidegate access user add"):
        is_login_required(settings, False)
    assert is_login_required(settings, True)


@pytest.mark.parametrize(
    "url", ["http://localhost:8471", "https://a.localhost", "http://127.0.0.9", "http://[::1]:1"]
)
def test_a_public_address_of_this_machine_alone_publishes_nothing(url: str) -> None:
    assert not is_login_required(Settings(public_url=url), False)


@pytest.mark.parametrize("key_id", ["", "a b", "a/b", "x" * 129, "schlüssel"])
def test_an_id_that_does_not_fit_into_a_credential(key_id: str) -> None:
    with pytest.raises(StartupError, match="TIDEGATE_ACCESS_KEYS is not valid"):
        check_keys(Settings(access_keys={key_id: "correct-horse"}))


def test_a_secret_that_can_be_guessed_is_not_shown_in_the_error() -> None:
    with pytest.raises(StartupError, match="too short") as caught:
        check_keys(Settings(access_keys={"AKID": "s3cr3t"}))
    assert "s3cr3t" not in caught.value.message


def test_a_bearer_token_is_an_id_and_its_secret() -> None:
    check_bearer("Bearer AKID:s3cret:with:colons", {"AKID": "s3cret:with:colons", "OTHER": "else"})


@pytest.mark.parametrize(
    "shown",
    ["", "Bearer ", "Bearer AKID", "Bearer AKID:", "Bearer AKID:other", "Bearer NOBODY:secret", "Bearer :"],
)
def test_any_other_bearer_token_is_refused(shown: str) -> None:
    with pytest.raises(AuthError, match="bearer token"):
        check_bearer(shown, {"AKID": "secret"})
