"""AWS credentials that reach a process by a file instead of its environment."""

import json
import os
from pathlib import Path

import pytest

from tidegate.auth.child_environment import AWS_SECRETS
from tidegate.compose.environments import child_environment, plain_environment, write_aws_keys
from tidegate.host import aws_credentials

GIVEN = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "a-long-secret", "AWS_SESSION_TOKEN": "a-token"}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*AWS_SECRETS, aws_credentials.FILE_VARIABLE, "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def as_server(monkeypatch: pytest.MonkeyPatch, state: Path, given: dict[str, str]) -> dict[str, str]:
    """What a child of a server with these variables gets."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    write_aws_keys(state)
    found = child_environment(state)
    for name in given:
        monkeypatch.delenv(name)
    return found


def found() -> tuple[str, str, str | None] | None:
    credentials = aws_credentials.session(os.environ).get_credentials()
    return credentials and (credentials.access_key, credentials.secret_key, credentials.token)


def test_a_child_finds_them_in_a_file_of_its_owner_s_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = as_server(monkeypatch, tmp_path, GIVEN)
    assert not any(value in GIVEN.values() for value in environment.values())
    path = Path(environment[aws_credentials.FILE_VARIABLE])
    assert path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv(aws_credentials.FILE_VARIABLE, str(path))
    assert found() == ("AKID", "a-long-secret", "a-token")
    path.unlink()
    assert found() is None


def test_they_come_before_a_profile_as_variables_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    profile = "[default]\naws_access_key_id = OTHER\naws_secret_access_key = other\n"
    (tmp_path / "none").write_text(profile)
    assert found() == ("OTHER", "other", None)
    environment = as_server(monkeypatch, tmp_path, {k: v for k, v in GIVEN.items() if k != "AWS_SESSION_TOKEN"})
    monkeypatch.setenv(aws_credentials.FILE_VARIABLE, environment[aws_credentials.FILE_VARIABLE])
    assert found() == ("AKID", "a-long-secret", None)


def test_without_credentials_there_is_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    as_server(monkeypatch, tmp_path, GIVEN)
    assert aws_credentials.FILE_VARIABLE not in as_server(monkeypatch, tmp_path, {"AWS_SECRET_ACCESS_KEY": ""})
    assert not (tmp_path / "aws-keys.json").exists()
    assert found() is None


def test_a_server_within_a_server_passes_the_file_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {aws_credentials.FILE_VARIABLE: str(tmp_path / "of-the-outer-one.json")}
    assert (
        as_server(monkeypatch, tmp_path, given)[aws_credentials.FILE_VARIABLE]
        == given[aws_credentials.FILE_VARIABLE]
    )


def test_who_does_not_talk_to_s3_is_not_told_of_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    as_server(monkeypatch, tmp_path, GIVEN)
    assert aws_credentials.FILE_VARIABLE not in plain_environment()


def test_a_damaged_file_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(aws_credentials.FILE_VARIABLE, str(tmp_path / "keys"))
    for content in ("", "[]", json.dumps({"AWS_ACCESS_KEY_ID": ""})):
        (tmp_path / "keys").write_text(content)
        assert found() is None
