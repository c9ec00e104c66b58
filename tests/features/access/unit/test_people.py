"""Users, API tokens and sessions in the native API and on their pages."""

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.features.access.signed_in import PAGE, PASSWORD, SITE, House, login
from tests.gateway_harness import GatewayHarness
from tidegate.auth.logins import CHANGES
from tidegate.domain.access import Role
from tidegate.domain.errors import Conflict, Unavailable
from tidegate.features.access.people_native import DAYS

API = "/tidegate/v1"
NEW = "another horse battery"


async def change(client: httpx.AsyncClient, method: str, path: str, **body: object) -> httpx.Response:
    return await client.request(method, f"{API}{path}", json=body)


async def test_an_admin_adds_changes_disables_and_removes_a_user_and_each_is_recorded_with_its_reason() -> None:
    house = House()
    async with house.signed_in("root", Role.ADMIN) as root, house.browser() as bob:
        added = await change(
            root, "POST", "/users", name="bob", role="viewer", password=PASSWORD, reason="new here"
        )
        assert added.status_code == 201 and PASSWORD not in added.text
        assert (await login(bob, "bob")).status_code == 303
        assert (await change(root, "PUT", "/users/bob/role", role="operator", reason="on call")).status_code == 200
        assert (await bob.get("/console/session")).json()["role"] == "operator"
        listed = {one["name"]: one for one in (await root.get(f"{API}/users")).json()["users"]}
        assert (listed["bob"]["role"], listed["bob"]["sessions"], listed["bob"]["disabled"]) == (
            "operator",
            1,
            False,
        )
        page = await root.get("/console/users", headers=PAGE)
        assert page.status_code == 200 and "Disable bob" in page.text and "Disable root" not in page.text
        assert "scrypt" not in str(listed) and "scrypt" not in page.text
        assert (await change(root, "PUT", "/users/bob/disabled", disabled=True)).status_code == 200
        assert (await bob.get("/console/session")).status_code == 401
        assert (await login(bob, "bob")).status_code == 401
        assert (await change(root, "PUT", "/users/bob/disabled", disabled=False)).status_code == 200
        assert (await login(bob, "bob")).status_code == 303
        assert (await change(root, "PUT", "/users/bob/password", password=NEW)).status_code == 200
        assert (await bob.get("/console/session")).status_code == 401
        assert (await change(root, "DELETE", "/users/bob")).status_code == 200
        assert (await change(root, "DELETE", "/users/bob")).status_code == 404
    entries = await house.harness.trail.audit.read(limit=100, about="bob")
    told = [(one.who, one.action, one.reason, one.detail) for one in reversed(entries) if one.who == "root"]
    assert ("root", "POST /users", "new here", "viewer") in told
    assert ("root", "PUT /users/bob/role", "on call", "operator") in told
    assert ("root", "PUT /users/bob/disabled", "", "disabled") in told
    assert PASSWORD not in str(entries) and NEW not in str(entries)


async def test_the_last_admin_stays_one_and_nobody_shuts_themselves_out() -> None:
    house = House()
    async with house.signed_in("root", Role.ADMIN) as root:
        await house.add("bob", Role.VIEWER)
        for method, path, body in (
            ("PUT", "/users/root/role", {"role": "viewer"}),
            ("PUT", "/users/root/disabled", {"disabled": True}),
            ("PUT", "/users/root/password", {"password": NEW}),
            ("DELETE", "/users/root", {}),
        ):
            answer = await change(root, method, path, **body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "Conflict"), path
        user = await house.harness.logins.book.user("root")
        assert user is not None and user.role is Role.ADMIN and not user.disabled


async def test_of_two_admins_who_lower_each_other_at_once_one_remains() -> None:
    house = House()
    async with house.signed_in("ann", Role.ADMIN) as ann, house.signed_in("ben", Role.ADMIN) as ben:
        both = await asyncio.gather(
            change(ann, "PUT", "/users/ben/role", role="viewer"),
            change(ben, "PUT", "/users/ann/role", role="viewer"),
        )
        assert sorted(one.status_code for one in both) in ([200, 403], [200, 409])
        assert sum(user.role is Role.ADMIN for user in await house.harness.logins.book.users()) == 1


async def test_a_disabled_admin_is_none_when_the_last_is_looked_for() -> None:
    house = House()
    async with house.signed_in("root", Role.ADMIN) as root:
        await house.add("ann", Role.ADMIN)
        assert (await change(root, "PUT", "/users/ann/disabled", disabled=True)).status_code == 200
        with pytest.raises(Conflict, match="only admin"):
            await house.users.set_role("root", Role.VIEWER, house.harness.clock.now())


async def test_ones_own_password_takes_the_present_one_and_ends_the_other_sessions() -> None:
    house = House()
    async with house.signed_in("bob", Role.VIEWER) as bob, house.browser() as other:
        await login(other, "bob")
        wrong = await change(bob, "PUT", "/account/password", present="wrong horse battery", password=NEW)
        assert wrong.status_code == 403 and "present password" in wrong.json()["error"]["message"]
        short = await change(bob, "PUT", "/account/password", present=PASSWORD, password="short")
        assert short.status_code == 400 and "short" not in short.text.replace("too short", "")
        assert (await other.get("/console/session")).status_code == 200
        assert (await change(bob, "PUT", "/account/password", present=PASSWORD, password=NEW)).status_code == 200
        assert (await other.get("/console/session")).status_code == 401
        assert (await bob.get("/console/session")).status_code == 200
        assert (await login(other, "bob")).status_code == 401
        assert (await login(other, "bob", NEW)).status_code == 303


async def test_whoever_has_a_session_cannot_guess_its_users_password() -> None:
    house = House()
    async with house.signed_in("bob", Role.VIEWER) as bob:
        tried = [
            (await change(bob, "PUT", "/account/password", present=f"wrong {number}", password=NEW)).status_code
            for number in range(8)
        ]
    assert tried == [403] * 6 + [429] * 2


async def test_ones_own_token_is_shown_once_and_a_token_cannot_make_another() -> None:
    house = House()
    async with house.signed_in("olga", Role.OPERATOR) as olga, house.browser() as program:
        made = await change(olga, "POST", "/account/tokens", label="ci", role="viewer")
        assert made.status_code == 201 and made.headers["cache-control"] == "no-store"
        text = made.json()["token"]
        program.headers["authorization"] = f"Bearer {text}"
        assert (await program.get(f"{API}/caller")).json()["role"] == "viewer"
        assert (await change(program, "POST", "/account/tokens", label="more")).status_code == 409
        assert (
            await change(program, "PUT", "/account/password", present=PASSWORD, password=NEW)
        ).status_code == 409
        higher = await change(olga, "POST", "/account/tokens", label="x", role="admin")
        assert higher.status_code == 400
        shown = (await olga.get(f"{API}/account")).json()
        assert [one["id"] for one in shown["tokens"]] == [made.json()["id"]] and text not in str(shown)
        page = await olga.get("/console/account", headers=PAGE)
        assert page.status_code == 200 and made.json()["id"] in page.text and text not in page.text
        assert (await change(olga, "DELETE", f"/account/tokens/{made.json()['id']}")).status_code == 200
        assert (await program.get(f"{API}/caller")).status_code == 403


async def test_nobody_sees_or_revokes_what_is_anothers_and_not_an_admin() -> None:
    house = House()
    async with house.signed_in("root", Role.ADMIN) as root, house.signed_in("eve", Role.VIEWER) as eve:
        made = (await change(root, "POST", "/tokens", owner="root", label="ci", days=1)).json()
        assert (await change(eve, "DELETE", f"/account/tokens/{made['id']}")).status_code == 404
        theirs = (await root.get(f"{API}/account")).json()["sessions"][0]["id"]
        assert (await change(eve, "DELETE", "/account/sessions", id=theirs)).status_code == 404
        assert (await eve.get(f"{API}/users")).status_code == 403
        assert (await eve.get("/console/users", headers=PAGE)).status_code == 403
        assert (await root.get(f"{API}/tokens")).json()["tokens"][0]["id"] == made["id"]
        assert (await change(root, "DELETE", f"/tokens/{made['id']}")).status_code == 200


async def test_a_disabled_owners_token_counts_again_once_the_owner_does() -> None:
    house = House()
    async with house.signed_in("root", Role.ADMIN) as root, house.browser() as program:
        await house.add("bob", Role.OPERATOR)
        made = (await change(root, "POST", "/tokens", owner="bob", label="ci", days=DAYS)).json()
        program.headers["authorization"] = f"Bearer {made['token']}"
        seen = []
        for disabled in (True, False):
            await change(root, "PUT", "/users/bob/disabled", disabled=disabled)
            seen.append((await program.get(f"{API}/caller")).status_code)
    assert seen == [403, 200]


async def test_sessions_end_one_by_one_all_others_at_once_and_by_an_admin() -> None:
    house = House()
    async with AsyncExitStack() as stack:
        bob = await stack.enter_async_context(house.signed_in("bob", Role.VIEWER))
        others = [await stack.enter_async_context(house.browser()) for _ in range(3)]
        for other in others:
            await login(other, "bob")
        shown = (await bob.get(f"{API}/account")).json()["sessions"]
        assert [one["this"] for one in shown].count(True) == 1 and len(shown) == 4
        one = next(one["id"] for one in shown if not one["this"])
        assert (await change(bob, "DELETE", "/account/sessions", id=one)).json() == {"ended": 1}
        assert (await change(bob, "DELETE", "/account/sessions")).json() == {"ended": 2}
        root = await stack.enter_async_context(house.signed_in("root", Role.ADMIN))
        assert {each["name"] for each in (await root.get(f"{API}/sessions")).json()["sessions"]} == {"bob", "root"}
        assert (await change(root, "DELETE", "/sessions", name="bob")).json()["ended"] == 1
        assert (await bob.get("/console/session")).status_code == 401


async def test_a_page_of_another_site_changes_no_user() -> None:
    house = House()
    async with house.signed_in("root", Role.ADMIN) as root:
        for headers in ({"origin": "http://evil.example"}, {"x-csrf-token": "guessed"}):
            answer = await root.request("DELETE", f"{API}/users/bob", json={}, headers={"origin": SITE, **headers})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "CrossSite")


async def test_changes_are_limited_and_those_that_cannot_be_recorded_are_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    house = House()
    async with house.signed_in("root", Role.ADMIN) as root:

        async def away(entry: object) -> int:
            raise Unavailable("the database is away")

        with monkeypatch.context() as patched:
            patched.setattr(house.harness.trail.audit, "begin", away)
            refused = await change(root, "POST", "/users", name="bob", role="viewer", password=PASSWORD)
        assert refused.status_code == 503 and await house.harness.logins.book.user("bob") is None
        statuses = [
            (await change(root, "DELETE", "/sessions", name="nobody")).status_code
            for _ in range(CHANGES.attempts + 1)
        ]
    assert statuses == [200] * CHANGES.attempts + [429]


async def test_where_nobody_signs_in_the_page_says_how_to_begin_and_nothing_is_changed() -> None:

    house = House(GatewayHarness())
    async with house.browser(**PAGE) as client:
        assert "tidegate access user add" in (await client.get("/console/users")).text
        answer = await change(client, "POST", "/users", name="bob", role="admin", password=PASSWORD)
        assert answer.status_code == 409 and await house.harness.logins.book.users() == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/users", {"name": "../x", "role": "viewer", "password": PASSWORD}),
        ("POST", "/users", {"name": "bob", "role": "owner", "password": PASSWORD}),
        ("POST", "/users", {"name": "bob", "role": "viewer", "password": 12}),
        ("POST", "/users", {"name": "bob", "role": "viewer", "password": "x" * 300}),
        ("PUT", "/users/root/disabled", {}),
        ("PUT", "/users/root/role", {"role": ["admin"]}),
        ("POST", "/tokens", {"owner": "root", "label": "a\nb"}),
        ("POST", "/tokens", {"owner": "root", "label": "ci", "days": 10**9}),
        ("POST", "/tokens", {"owner": "root", "label": "ci", "days": True}),
        ("POST", "/users", {"name": "bob", "role": "viewer", "password": PASSWORD, "reason": "a\nb"}),
    ],
)
async def test_bad_input_changes_nothing(method: str, path: str, body: dict[str, object]) -> None:
    house = House()
    async with house.signed_in("root", Role.ADMIN) as root:
        answer = await change(root, method, path, **body)
        assert answer.status_code == 400, answer.text
        assert [user.name for user in await house.harness.logins.book.users()] == ["root"]
        assert await house.harness.logins.book.tokens() == []
