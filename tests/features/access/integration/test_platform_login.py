"""A real platform with users, tokens and keys of different roles, at every door."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.scene import Scene
from tidegate.domain.access import Role
from tidegate.features.access.user_book import with_users
from tidegate.host.platform import Platform
from tidegate.settings import Settings

pytestmark = pytest.mark.e2e
PASSWORD = "correct horse battery"
OPERATOR, VIEWER = ("AKIDOPS", "operators-secret"), ("AKIDVIEW", "viewers-secret")
ROW = [[0.1, 0.2, 0.3, 0.4]]
BODY = "0.1,0.2,0.3,0.4"


@pytest.fixture(scope="module")
def guarded(models: tuple[str, str]) -> Iterator[Scene]:
    folder = str(Path(models[0].removeprefix("file://")).parent)
    environment = {
        "TIDEGATE_ACCESS_KEYS": ",".join(":".join(key) for key in (OPERATOR, VIEWER)),
        "TIDEGATE_KEY_ROLES": "AKIDOPS=operator,AKIDVIEW=viewer",
        "TIDEGATE_FILE_ROOTS": folder,
    }
    with Platform(environment=environment) as platform:
        scene = Scene(platform, keys=OPERATOR)
        scene.create("guarded", scene.config(models[0]))
        settings = Settings(state=platform.state)
        for name, role in (("root", Role.ADMIN), ("olga", Role.OPERATOR), ("eve", Role.VIEWER)):
            with_users(settings, "test", lambda users, now, n=name, r=role: users.add(n, r, PASSWORD, now))  # type: ignore[misc]
        yield scene


def refusal(work: Any) -> str:
    with pytest.raises(ClientError) as caught:
        work()
    return str(caught.value.response["Error"]["Code"])


def test_a_viewers_key_reads_and_neither_changes_nor_asks_a_model(guarded: Scene) -> None:
    viewer = Scene(guarded.platform, keys=VIEWER)
    assert viewer.sagemaker.describe_endpoint(EndpointName="guarded")["EndpointStatus"] == "InService"
    assert refusal(lambda: viewer.sagemaker.delete_endpoint(EndpointName="guarded")) == "AccessDeniedException"
    assert refusal(lambda: viewer.invoke("guarded", ROW)).startswith("UnrecognizedClient")
    assert guarded.invoke("guarded", ROW)["InvokedProductionVariant"] == "AllTraffic"
    workers = json.loads((guarded.platform.state / "keys.json").read_text())
    assert set(workers) == {OPERATOR[0]}


def sign_in(platform: Platform, name: str) -> httpx.Client:
    client = httpx.Client(base_url=platform.url, timeout=60)
    answer = client.post(
        "/console/login",
        data={"name": name, "password": PASSWORD},
        headers={"origin": platform.url, "x-tidegate-source": "203.0.113.66"},
    )
    assert answer.status_code == 303, answer.text
    client.headers["x-csrf-token"] = client.get("/console/session").json()["csrf"]
    return client


def test_users_have_their_roles_through_the_proxy(guarded: Scene) -> None:
    invoke, abort = "/tidegate/v1/endpoints/guarded/invoke", "/tidegate/v1/endpoints/guarded/rollout/abort"
    with closing(sign_in(guarded.platform, "eve")) as eve, closing(sign_in(guarded.platform, "olga")) as olga:
        assert eve.get("/tidegate/v1/endpoints").json()["endpoints"][0]["name"] == "guarded"
        csv = {"content-type": "text/csv"}
        assert eve.post(invoke, content=BODY, headers=csv).status_code == 403
        answer = olga.post(invoke, content=BODY, headers=csv)
        assert answer.status_code == 200 and 0 <= float(answer.text) <= 1
        assert answer.headers["x-amzn-invoked-production-variant"] == "AllTraffic"
        assert eve.post(abort, json={}).status_code == 403
        assert olga.post(abort, json={"reason": "none is under way"}).status_code == 409
        assert httpx.post(f"{guarded.platform.url}{invoke}", content=BODY).status_code == 403
    with closing(sign_in(guarded.platform, "root")) as root:
        entries = root.get("/tidegate/v1/audit?limit=1000").json()["entries"]
    assert {entry["source"] for entry in entries if entry["means"] == "session"} == {"127.0.0.1"}
    told = {(entry["who"], entry["action"], entry["outcome"]) for entry in entries}
    path = abort.removeprefix("/tidegate/v1")
    assert {("eve", f"POST {path}", "refused"), ("olga", f"POST {path}", "failed")} <= told
    assert ("AKIDOPS", "sagemaker:CreateEndpoint", "done") in told and PASSWORD not in json.dumps(entries)


def tidegate(scene: Scene, token: str, *words: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TIDEGATE_"))}
    environment = {**kept, "TIDEGATE_URL": scene.platform.url, "TIDEGATE_TOKEN": token}
    command = [sys.executable, "-m", "tidegate.cli", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_commands_act_for_a_user_by_a_token_until_it_is_revoked(guarded: Scene) -> None:
    settings, now = Settings(state=guarded.platform.state), datetime.now(UTC)
    made, token = with_users(settings, "test", lambda users, _: users.create_token("root", None, "ci", 1, now))
    told = tidegate(guarded, token, "invoke", "guarded", "--body", BODY)
    assert told.returncode == 0 and 0 <= float(told.stdout.split()[0]) <= 1, told.stderr
    listed = tidegate(guarded, token, "audit", "--about", "guarded", "--limit", "1000")
    assert "AKIDOPS" in listed.stdout and "sagemaker:CreateEndpoint" in listed.stdout, listed.stderr
    assert tidegate(guarded, token, "invoke", "guarded", "--stream", "--body", BODY).returncode == 1
    with_users(settings, "test", lambda users, _: users.revoke_token(made.id, now))
    gone = tidegate(guarded, token, "status")
    assert gone.returncode == 1 and "was revoked" in gone.stderr and token not in gone.stderr


def test_passwords_and_tokens_are_in_no_file_of_the_server(guarded: Scene) -> None:
    log = guarded.platform.log.read_text()
    assert PASSWORD not in log and "tidegate_" not in log
    assert (guarded.platform.state / "tidegate.db").stat().st_mode & 0o777 == 0o600
