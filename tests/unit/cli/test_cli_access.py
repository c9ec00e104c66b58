"""``user``, ``token`` and ``audit``."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.stub_server import API, AT, found, stub
from tests.unit.cli.test_cli_everyday import refusal, run, words

PASSWORD = "correct horse battery\n"


def add(state: Path, name: str, role: str) -> None:
    done = run(
        "access", "user", "add", name, "--role", role, "--password-stdin", "--state", str(state), text=PASSWORD
    )
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def two_users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hashing a password takes long, as it should."""
    state = tmp_path_factory.mktemp("state")
    add(state, "alice", "admin")
    add(state, "bob", "viewer")
    return state


def test_users_are_added_listed_changed_and_removed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    add(state, "alice", "admin")
    add(state, "bob", "viewer")
    assert state.stat().st_mode & 0o777 == 0o700
    words("access", "user", "role", "bob", "operator", "--state", str(state))
    told = json.loads(words("access", "user", "list", "--json", "--state", str(state)))
    assert [(user["name"], user["role"]) for user in told["users"]] == [("alice", "admin"), ("bob", "operator")]
    assert "scrypt" not in json.dumps(told)
    done = run(
        "access",
        "user",
        "password",
        "bob",
        "--password-stdin",
        "--state",
        str(state),
        text="another horse battery\n",
    )
    assert "whose sessions have ended" in done.stdout
    assert "ended 0 sessions of bob" in words("access", "user", "sign-out", "bob", "--state", str(state))
    words("access", "user", "remove", "bob", "--state", str(state))
    assert "bob" not in words("access", "user", "list", "--state", str(state))


@pytest.mark.parametrize(
    ("words_", "text", "message"),
    [
        (("access", "user", "add", "alice", "--password-stdin"), PASSWORD, 'already a user "alice"'),
        (("access", "user", "add", "x y", "--password-stdin"), PASSWORD, "not valid"),
        (("access", "user", "add", "carl", "--password-stdin"), "short\n", "12 to 256 characters"),
        (("access", "user", "add", "carl"), "", "--password-stdin"),
        (("access", "user", "remove", "nobody"), "", 'no user "nobody"'),
        (("access", "user", "remove", "alice"), "", "only admin"),
        (("access", "user", "role", "alice", "viewer"), "", "only admin"),
        (("access", "token", "create", "nobody"), "", 'no user "nobody"'),
        (("access", "token", "create", "bob", "--role", "admin"), "", "viewer at most"),
        (("access", "token", "revoke", "nothing"), "", 'no token "nothing"'),
    ],
    ids=lambda one: " ".join(one)[:40] if isinstance(one, tuple) else "",
)
def test_what_cannot_be_is_refused_in_one_line(
    two_users: Path, words_: tuple[str, ...], text: str, message: str
) -> None:
    said = refusal(*words_, "--state", str(two_users), text=text)
    assert message in said and "\n" not in said and "short" not in said.replace("too short", "")


def test_a_token_is_shown_once(two_users: Path) -> None:
    done = run(
        "access", "token", "create", "alice", "--label", "ci", "--role", "viewer", "--state", str(two_users)
    )
    token = done.stdout.strip()
    assert token.startswith("tidegate_") and "not shown again" in done.stderr
    told = words("access", "token", "list", "--json", "--state", str(two_users))
    (listed,) = json.loads(told)["tokens"]
    assert (listed["owner"], listed["role"], listed["label"], listed["used_at"]) == ("alice", "viewer", "ci", None)
    assert token.removeprefix(f"tidegate_{listed['id']}_") not in told
    words("access", "token", "revoke", listed["id"], "--state", str(two_users))
    assert words("access", "token", "list", "--state", str(two_users)) == "there are no API tokens\n"


def test_a_token_without_an_end_says_so(two_users: Path) -> None:
    assert (
        "without an end"
        in run("access", "token", "create", "alice", "--days", "0", "--state", str(two_users)).stderr
    )
    assert "expires never" in words("access", "token", "list", "--state", str(two_users))


def entry(seq: int, **more: Any) -> dict[str, Any]:
    base = {"seq": seq, "at": AT, "who": "alice", "means": "session", "role": "admin", "source": "192.0.2.1"}
    told = {"action": "PUT /deploy", "about": "fraud", "reason": "faster", "outcome": "done", "detail": ""}
    return base | told | more


def test_the_audit_is_printed_oldest_first() -> None:
    nobody = {"who": "", "role": "", "source": "", "reason": "", "action": "login", "about": ""}
    refused = entry(2, **nobody, outcome="refused", detail="no")
    with stub({f"{API}/audit": found({"entries": [refused, entry(1, outcome="started")]})}) as (url, seen):
        shown = words("access", "audit", "--about", "fraud", "--limit", "7", TIDEGATE_URL=url)
    assert shown.splitlines() == [
        "2026-01-01T00:00:00Z  alice (admin, 192.0.2.1)  PUT /deploy fraud: faster  not known",
        "2026-01-01T00:00:00Z  nobody (no role)  login  refused (no)",
    ]
    assert seen[0]["path"] == f"{API}/audit?limit=7&who=&about=fraud"


def test_a_token_is_sent_instead_of_a_signature_and_predictions_go_to_the_server() -> None:
    answers = {f"{API}/endpoints": found({"endpoints": []}), f"{API}/endpoints/fraud/invoke": (200, b"0.5")}
    with stub(answers) as (url, seen):
        given = {"TIDEGATE_URL": url, "TIDEGATE_TOKEN": "tidegate_x", "AWS_ACCESS_KEY_ID": "a"}
        words("status", AWS_SECRET_ACCESS_KEY="b", **given)
        assert words("invoke", "fraud", "--body", "1", **given).startswith("0.5")
    assert {request["headers"]["Authorization"] for request in seen} == {"Bearer tidegate_x"}
