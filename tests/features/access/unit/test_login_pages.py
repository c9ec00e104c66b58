"""Signing in and out; sessions that are forged, expired, replayed or revoked; requests that other sites make."""

from datetime import timedelta
from urllib.parse import urlencode

import httpx
import pytest

from tests.features.access.signed_in import PAGE, SITE, House, code, login
from tests.gateway_harness import GatewayHarness
from tidegate.domain.access import Role
from tidegate.features.access.login_pages import next_page
from tidegate.settings import Settings
from tidegate.store.access import SqlAccess

ENDPOINTS = "/tidegate/v1/endpoints"
DOWN = "/tidegate/v1/down"


async def test_pages_are_not_kept_by_the_browser_of_somebody_who_signed_in() -> None:
    house = House()
    async with house.signed_in("alice", Role.VIEWER) as client:
        for path in ("/console", "/console/overview", "/console/session"):
            assert (await client.get(path, headers=PAGE)).headers["cache-control"] == "no-store"
    async with House(GatewayHarness()).browser() as client:
        assert (await client.get("/console", headers=PAGE)).headers["cache-control"] == "no-cache"


async def test_who_is_not_signed_in_is_led_to_the_login_and_back() -> None:
    house = House()
    await house.add("alice", Role.VIEWER)
    async with house.browser() as client:
        answer = await client.get("/console/jobs?a=1", headers=PAGE)
        assert answer.headers["location"] == "/console/login?next=%2Fconsole%2Fjobs%3Fa%3D1"
        form = await client.get(answer.headers["location"], headers=PAGE)
        assert form.status_code == 200 and 'value="/console/jobs?a=1"' in form.text
        assert form.headers["cache-control"] == "no-store"
        back = await login(client, "alice", next="/console/jobs?a=1")
        assert (back.status_code, back.headers["location"]) == (303, "/console/jobs?a=1")
        assert (await client.get("/console/jobs?a=1", headers=PAGE)).status_code == 200


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() -> None:
    house = House()
    await house.add("alice", Role.VIEWER)
    async with house.browser() as client:
        cookie = (await login(client, "alice")).headers["set-cookie"]
        assert cookie.startswith("tidegate_session_8471=")
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; ")) and "Secure" not in cookie


async def test_behind_tls_the_cookie_is_bound_to_it_and_to_the_host() -> None:
    public = "https://tidegate.example"
    house = House(GatewayHarness(Settings(public_url=public), people=True))
    await house.add("alice", Role.VIEWER)
    async with house.browser(public) as client:
        cookie = (await login(client, "alice")).headers["set-cookie"]
        assert cookie.startswith("__Host-tidegate_session_8471=") and "Secure" in cookie.split("; ")
        assert (await client.get("/console", headers=PAGE)).status_code == 200


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong horse battery"), ("nobody", "x" * 12), ("", "")])
async def test_a_wrong_login_says_no_more_than_that_and_is_recorded(name: str, password: str) -> None:
    house = House()
    await house.add("alice", Role.VIEWER)
    async with house.browser() as client:
        answer = await login(client, name, password)
        assert answer.status_code == 401 and "The name or the password is not right." in answer.text
        assert "set-cookie" not in answer.headers and password not in (await house.audit())[-1]
    who = "alice" if name == "alice" else "(nobody)"
    assert (await house.audit())[-1] == (who, "login", "refused")


@pytest.mark.parametrize("name", ["x" * 1_000_000, "a\0b", "\udcff", "a b"], ids=["long", "nul", "bytes", "space"])
async def test_what_can_be_no_name_is_not_looked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    asked: list[str] = []

    async def user(self: SqlAccess, name: str) -> None:
        asked.append(name)

    monkeypatch.setattr(SqlAccess, "user", user)
    async with house.browser() as client:
        form = urlencode({"name": name, "password": "x"}, errors="surrogateescape").encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        assert (await client.post("/console/login", content=form, headers=headers)).status_code == 401
    assert asked == [] and (await house.audit())[-1] == ("(nobody)", "login", "refused")


async def test_what_is_typed_into_the_field_of_the_name_is_not_recorded() -> None:
    house = House()
    async with house.browser() as client:
        await login(client, "my-secret-password", "x")
    found = await house.harness.trail.audit.read()
    assert "my-secret-password" not in repr(found)


async def test_guessing_is_slowed_down_for_the_guesser_alone() -> None:
    house = House()
    await house.add("alice", Role.VIEWER)
    async with house.browser() as client:
        found = [(await login(client, "alice", f"wrong-guess-{n}")).status_code for n in range(8)]
        assert found == [401] * 6 + [429] * 2
        locked = await login(client, "alice")
        assert locked.status_code == 429 and 0 < int(locked.headers["retry-after"]) <= 51
    async with house.browser(**{"x-tidegate-source": "203.0.113.9"}) as other:
        assert (await login(other, "alice")).status_code == 303
    house.harness.clock.shift = timedelta(seconds=60)
    async with house.browser() as client:
        assert (await login(client, "alice")).status_code == 303


@pytest.mark.parametrize("secret", ["forged", "x" * 43, "' OR 1=1 --", "%00"])
async def test_a_forged_session_is_none(secret: str) -> None:
    house = House()
    async with house.browser() as client:
        client.headers["cookie"] = f"tidegate_session_8471={secret}"
        answer = await client.get(ENDPOINTS)
        assert (answer.status_code, code(answer)) == (401, "SessionEnded")
        page = await client.get("/console", headers=PAGE)
        assert page.headers["location"] == "/console/login?next=%2Fconsole&ended=1"


async def test_a_session_ends_when_it_is_idle_and_at_the_latest_after_twelve_hours() -> None:
    house = House()
    async with house.signed_in("alice", Role.VIEWER) as client:
        for minutes in (50, 100):
            house.harness.clock.shift = timedelta(minutes=minutes)
            assert (await client.get(ENDPOINTS)).status_code == 200
        house.harness.clock.shift = timedelta(minutes=161)
        assert code(await client.get(ENDPOINTS)) == "SessionEnded"
        house.harness.clock.shift = timedelta(minutes=100)
        assert code(await client.get(ENDPOINTS)) == "SessionEnded"
    async with house.signed_in("bob", Role.VIEWER) as client:
        for minutes in range(100, 100 + 12 * 60, 50):
            house.harness.clock.shift = timedelta(minutes=minutes)
            assert (await client.get(ENDPOINTS)).status_code == 200
        house.harness.clock.shift = timedelta(minutes=101 + 12 * 60)
        assert code(await client.get(ENDPOINTS)) == "SessionEnded"


async def test_a_session_that_was_left_cannot_be_replayed() -> None:
    house = House()
    async with house.signed_in("alice", Role.VIEWER) as client:
        stolen = client.cookies["tidegate_session_8471"]
        form = {"csrf": client.headers.pop("x-csrf-token")}
        answer = await client.post("/console/logout", data=form)
        assert answer.headers["location"] == "/console/login"
        client.cookies.set("tidegate_session_8471", stolen)
        assert code(await client.get(ENDPOINTS)) == "SessionEnded"


async def test_a_new_login_replaces_the_session_of_the_browser() -> None:
    house = House()
    async with house.signed_in("alice", Role.VIEWER) as client:
        before = client.cookies["tidegate_session_8471"]
        await login(client, "alice")
        assert client.cookies["tidegate_session_8471"] != before
        client.cookies.set("tidegate_session_8471", before, domain="127.0.0.1", path="/")
        async with house.browser() as thief:
            thief.cookies.set("tidegate_session_8471", before)
            assert code(await thief.get(ENDPOINTS)) == "SessionEnded"


async def test_a_new_password_ends_all_sessions_and_the_old_one_is_none() -> None:
    house = House()
    async with house.signed_in("alice", Role.VIEWER) as client:
        await house.users.set_password("alice", "another horse battery", house.harness.clock.now())
        assert code(await client.get(ENDPOINTS)) == "SessionEnded"
        assert (await login(client, "alice")).status_code == 401
        assert (await login(client, "alice", "another horse battery")).status_code == 303


@pytest.mark.parametrize("gone", [True, False])
async def test_the_login_is_open_to_a_browser_that_has_a_session_already(gone: bool) -> None:
    """Two tabs show the login, or the cookie is one of last week."""
    house = House()
    async with house.signed_in("alice", Role.VIEWER) as client:
        for header in ("x-csrf-token", "origin"):
            del client.headers[header]
        house.harness.clock.shift = timedelta(hours=13 if gone else 0)
        assert (await client.get("/console/login")).status_code == (200 if gone else 303)
        assert (await login(client, "alice")).status_code == 303
        assert (await client.get(ENDPOINTS)).status_code == 200


async def test_a_removed_user_is_out_at_once_and_does_not_come_back_by_the_same_name() -> None:
    house = House()
    await house.add("admin", Role.ADMIN)
    async with house.signed_in("bob", Role.OPERATOR) as client:
        await house.users.remove("bob", house.harness.clock.now())
        assert code(await client.get(ENDPOINTS)) == "SessionEnded"
        await house.add("bob", Role.ADMIN)
        assert code(await client.get(ENDPOINTS)) == "SessionEnded"


async def test_a_role_that_is_lowered_counts_from_the_next_request_on() -> None:
    house = House()
    await house.add("root", Role.ADMIN)
    async with house.signed_in("bob", Role.ADMIN) as client:
        assert (await client.get("/console/audit", headers=PAGE)).status_code == 200
        await house.users.set_role("bob", Role.VIEWER, house.harness.clock.now())
        answer = await client.post(DOWN, json={})
        assert (answer.status_code, code(answer)) == (403, "AccessDenied")
        assert "bob, viewer, may not do this" in answer.json()["error"]["message"]
        assert house.harness.downs == 0
        assert (await client.get("/console/audit", headers=PAGE)).status_code == 403
    assert ("bob", "POST /down", "refused") in await house.audit()


FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "http://127.0.0.1:9999"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"host": "evil.example"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_change_from_a_page_of_another_site_is_refused(headers: dict[str, str]) -> None:
    house = House()
    async with house.signed_in("alice", Role.ADMIN) as client:
        if "host" in headers:  # so that the page would be of the same origin there
            headers = {**headers, "origin": "http://evil.example"}
        answer = await client.post(DOWN, json={}, headers=headers)
        assert answer.status_code == 403 and house.harness.downs == 0


@pytest.mark.parametrize("token", [None, "", "x" * 43])
async def test_a_change_without_the_token_of_the_sessions_pages_is_refused_and_recorded(token: str | None) -> None:
    house = House()
    async with house.signed_in("alice", Role.ADMIN) as client:
        del client.headers["x-csrf-token"]
        answer = await client.post(DOWN, json={}, headers={} if token is None else {"x-csrf-token": token})
        assert (answer.status_code, code(answer)) == (403, "CrossSite") and house.harness.downs == 0
    assert (await house.audit())[-1] == ("alice", f"POST {DOWN}", "refused")


async def test_the_token_of_another_session_is_not_good() -> None:
    house = House()
    async with house.signed_in("alice", Role.ADMIN) as client, house.signed_in("bob", Role.ADMIN) as other:
        token = other.headers["x-csrf-token"]
        assert code(await client.post(DOWN, json={}, headers={"x-csrf-token": token})) == "CrossSite"
        assert (await client.post(DOWN, json={})).status_code == 202


async def test_nobody_is_signed_in_from_a_page_of_another_site() -> None:
    house = House()
    await house.add("alice", Role.ADMIN)
    async with house.browser(origin="https://evil.example") as client:
        answer = await login(client, "alice")
        assert answer.status_code == 403 and "set-cookie" not in answer.headers


async def test_a_session_is_for_the_console_and_the_native_api_alone() -> None:
    house = House()
    async with house.signed_in("alice", Role.ADMIN) as client:
        headers = {"X-Amz-Target": "SageMaker.ListModels", "Content-Type": "application/x-amz-json-1.1"}
        answer = await client.post("/", content=b"{}", headers=headers)
        assert answer.json()["__type"] == "MissingAuthenticationTokenException"


async def test_of_two_cookies_of_the_same_name_none_counts() -> None:
    house = House()
    async with house.signed_in("alice", Role.VIEWER) as client:
        mine = client.cookies["tidegate_session_8471"]
        async with house.browser(cookie=f"tidegate_session_8471={mine}; tidegate_session_8471=other") as tossed:
            assert (await tossed.get(ENDPOINTS)).status_code == 403


async def test_a_name_that_is_not_this_servers_gets_no_login_page() -> None:
    house = House()
    async with house.browser("http://rebound.example") as client:
        assert (await client.get("/console/login")).status_code == 403


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/console@evil.example",
        "/console\\evil",
        "/",
        "javascript:a",
        "x",
    ],
)
def test_a_login_leads_to_pages_of_the_console_alone(wanted: str) -> None:
    assert next_page({"next": wanted}) == "/console"


def test_a_login_leads_back_with_the_whole_query() -> None:
    assert next_page({"next": "/console/planner?rate=1&name=a%20b"}) == "/console/planner?rate=1&name=a%20b"


async def test_without_users_and_keys_there_is_no_login() -> None:
    house = House(GatewayHarness())
    async with house.browser() as client:
        for answer in (await client.get("/console/login"), await client.post("/console/login", data={})):
            assert (answer.status_code, answer.headers["location"]) == (303, "/console")
        page = await client.get("/console", headers=PAGE)
        assert page.status_code == 200 and "Sign out" not in page.text and 'name="csrf"' not in page.text
        told = (await client.get("/console/session")).json()
        assert told == {"name": "", "role": "admin", "csrf": ""}


async def test_with_keys_and_no_users_the_login_says_how_to_add_one() -> None:
    house = House()
    async with house.browser() as client:
        assert "tidegate access user add" in (await client.get("/console/login")).text


async def test_hostile_input_is_shown_as_text() -> None:
    house = House()
    await house.add("alice", Role.VIEWER)
    async with house.browser() as client:
        answer = await login(client, "<script>alert(1)</script>", "x", next='/console?"><b>')
        assert "<script>alert" not in answer.text and '"><b>' not in answer.text


async def test_viewers_see_no_buttons_and_operators_do() -> None:
    house = House()
    for name, role, deploys in (("eve", Role.VIEWER, False), ("olga", Role.OPERATOR, True)):
        async with house.signed_in(name, role) as client:
            page = (await client.get("/console/planner?example=payroll-fraud")).text
            assert ("data-deploy-form" in page) is deploys
            assert f"signed in as {role}" in page and "/console/audit" not in page


def test_the_site_of_these_tests_is_that_of_the_harness() -> None:
    client: httpx.AsyncClient = GatewayHarness().client()
    assert str(client.base_url).rstrip("/") == SITE
