"""Whether a server asks who sends a request, by what it finds at its start."""

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.features.access.signed_in import PASSWORD
from tidegate.auth.keys import check_keys, is_login_required, prediction_keys, role_of_key
from tidegate.auth.passwords import Cost, hash_password
from tidegate.compose.environments import server_environment
from tidegate.compose.login import OWN_KEY, require_login
from tidegate.domain.access import Role, User
from tidegate.domain.errors import StartupError
from tidegate.features.asynchronous.dispatcher_supervisor import start_settings
from tidegate.host.clock import SystemClock
from tidegate.settings import Settings
from tidegate.store import SqlStore, open_store
from tidegate.store.access import SqlAccess
from tidegate.targets.containers import file_roots

BEYOND = Settings(host="0.0.0.0")


async def store_with(*names: str) -> SqlStore:
    store, now = open_store("sqlite://"), SystemClock().now()
    for name in names:
        encoded = hash_password(PASSWORD, bytes(16), Cost(4, 1))
        await SqlAccess(store.database).add_user(User(name, Role.ADMIN, encoded, now, now))
    return store


async def test_alone_on_a_machine_nobody_is_asked() -> None:
    assert await require_login(Settings(), await store_with()) == (Settings(), False)


async def test_beyond_loopback_it_starts_with_users_and_not_without() -> None:
    with pytest.raises(StartupError, match="tidegate access user add"):
        await require_login(BEYOND, await store_with())
    settings, asks = await require_login(BEYOND, await store_with("alice"))
    assert asks and settings.access_keys, "so that proxy and workers ask for signatures"


async def test_users_without_keys_get_a_key_that_only_this_server_knows() -> None:
    first, _ = await require_login(Settings(), await store_with("alice"))
    second, _ = await require_login(Settings(), await store_with("alice"))
    assert set(first.access_keys) == {OWN_KEY} and first.access_keys != second.access_keys
    assert role_of_key(first, OWN_KEY) is Role.OPERATOR and len(first.access_keys[OWN_KEY]) > 40


async def test_a_key_that_may_ask_models_is_used_and_viewers_keys_stay_with_the_controller() -> None:
    keys = {"AKIAVIEW": "viewers-secret", "AKIAOPS": "operators-secret"}
    roles = {"AKIAVIEW": Role.VIEWER}
    settings, _ = await require_login(Settings(access_keys=keys, key_roles=roles), await store_with("alice"))
    assert prediction_keys(settings) == {"AKIAOPS": "operators-secret"}
    alone = Settings(access_keys={"AKIAVIEW": "viewers-secret"}, key_roles=roles)
    settings, _ = await require_login(alone, await store_with())
    assert set(prediction_keys(settings)) == {OWN_KEY} and role_of_key(settings, "AKIAVIEW") is Role.VIEWER


async def test_passwords_that_travel_unencrypted_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        behind = replace(BEYOND, public_url="https://a.example", trusted_proxies=("10.0.0.1",))
        await require_login(replace(behind, file_roots=(Path("/models"),)), await store_with("alice"))
        assert caplog.text == ""
        await require_login(BEYOND, await store_with("alice"))
    assert "unencrypted" in caplog.text


@pytest.mark.parametrize("settings", [Settings(public_url="https://a.example"), BEYOND], ids=["proxy", "none"])
async def test_a_proxy_that_is_not_trusted_is_warned_of(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await require_login(settings, await store_with("alice"))
    assert ("locks out everybody" in caplog.text) is (settings is not BEYOND)


@pytest.mark.parametrize("root", [".", "state", "state/../state", "linked", "models", "state/uploads"])
async def test_folders_that_hold_the_servers_keys_are_not_read(tmp_path: Path, root: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path)
    settings = Settings(state=tmp_path / "state", file_roots=(tmp_path / root,))
    assert await require_login(settings, await store_with()) == (settings, False)
    if root in ("models", "state/uploads"):
        assert (await require_login(settings, await store_with("alice")))[1]
        return
    with pytest.raises(StartupError, match="holds the state folder"):
        await require_login(settings, await store_with("alice"))


async def test_who_signs_in_reads_no_file_of_the_server(tmp_path: Path) -> None:
    alone = Settings(state=tmp_path)
    settings, _ = await require_login(alone, await store_with("alice"))
    own = (str(tmp_path / "uploads"), str(tmp_path / "live-runs"))
    assert file_roots(alone) is None and file_roots(settings) == own, (
        "what people uploaded and the console trained"
    )
    assert start_settings(alone, tmp_path / "s").readable is None
    assert start_settings(settings, tmp_path / "s").readable == ()


def test_a_role_of_a_key_that_is_not_there_stops_the_start() -> None:
    with pytest.raises(StartupError, match="'AKIAGONE'"):
        check_keys(Settings(access_keys={"AKIA": "long-enough"}, key_roles={"AKIAGONE": Role.VIEWER}))


@pytest.mark.parametrize("text", ["AKIA", "AKIA=", "AKIA=boss", "=viewer"])
def test_a_role_that_is_none_stops_the_start(text: str) -> None:
    with pytest.raises(StartupError, match="viewer, operator, admin"):
        Settings.from_environment({"TIDEGATE_KEY_ROLES": text})


@pytest.mark.parametrize(
    "variables",
    [
        {"TIDEGATE_PUBLIC_URL": "tidegate.example"},
        {"TIDEGATE_PUBLIC_URL": "https://user@tidegate.example"},
        {"TIDEGATE_TRUSTED_PROXIES": "10.0.0.1/8"},
        {"TIDEGATE_TRUSTED_PROXIES": "proxy.example"},
    ],
    ids=str,
)
def test_an_address_that_cannot_be_meant_stops_the_start(variables: dict[str, str]) -> None:
    with pytest.raises(StartupError, match=next(iter(variables))):
        Settings.from_environment(variables)


def test_the_private_server_of_a_recommendation_asks_nobody(tmp_path: Path) -> None:
    own = {
        "TIDEGATE_ACCESS_KEYS": "AKIA:long-enough",
        "TIDEGATE_KEY_ROLES": "AKIA=viewer",
        "TIDEGATE_OIDC_ISSUER": "https://login.example",
        "TIDEGATE_PUBLIC_URL": "https://tidegate.example",
        "TIDEGATE_TRUSTED_PROXIES": "127.0.0.1",
    }
    made = Settings.from_environment(own | server_environment(Settings.from_environment(own)))
    assert not made.access_keys and not made.key_roles and not made.oidc_issuer
    assert not is_login_required(made, False), "it starts, too"
    assert set(own) & set(os.environ) == set()
