"""The login, roles, the audit and sessions that end, as people meet them in a real browser."""

import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.checks import fits, watched
from tests.browser.hostile_page import HOSTILE, other_site
from tests.scene import train
from tidegate.domain.access import Role
from tidegate.features.access.service import UserBook
from tidegate.features.access.user_book import with_users
from tidegate.host.platform import Platform, wait_until
from tidegate.settings import Settings

NAME = "guarded"
PASSWORD = "correct horse battery"
USERS = {
    "root": Role.ADMIN,
    "olga": Role.OPERATOR,
    "otto": Role.OPERATOR,
    "dora": Role.OPERATOR,
    "eve": Role.VIEWER,
}
ENDPOINT = f"/tidegate/v1/endpoints/{NAME}"
PAGE = f"/console/endpoints/{NAME}"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """With users and without access keys."""
    roots = {"TIDEGATE_FILE_ROOTS": str(tmp_path_factory.getbasetemp())}
    state = Path(tempfile.mkdtemp(prefix="tg-"))
    for name, role in USERS.items():
        on_users(state, lambda users, now, n=name, r=role: users.add(n, r, PASSWORD, now))  # type: ignore[misc]
    with Platform(state=state, environment=roots) as started:
        yield started


@pytest.fixture(scope="module")
def operator(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A program that is signed in, after it has deployed the endpoint; its second version bakes."""
    with httpx.Client(base_url=platform.url, timeout=60) as client:
        client.post("/console/login", data={"name": "olga", "password": PASSWORD})
        client.headers["x-csrf-token"] = client.get("/console/session").json()["csrf"]
        for seed in (1, 2):
            deploy(client, train(tmp_path_factory.mktemp("models"), seed))
            wait_until(lambda seed=seed: settled(client, seed), f"version {seed}")  # type: ignore[misc]
        yield client


def deploy(client: httpx.Client, data: str) -> None:
    spec = {
        "endpoint": NAME,
        "model": {"image": "tidegate/xgboost", "data": data},
        "rollout": {"strategy": "canary", "size": "50%", "wait": "15m", "final_bake": "0s"},
        "instances": 2,
    }
    client.put("/tidegate/v1/deploy", json={"spec": spec}).raise_for_status()


def settled(client: httpx.Client, seed: int) -> bool:
    told = client.get(ENDPOINT).json()
    return told["status"] == "InService" if seed == 1 else (told["rollout"] or {}).get("phase") == "Baking"


def on_users(state: Path, work: Callable[[UserBook, datetime], Awaitable[None]]) -> None:
    """In a thread of its own: the browser's driver has an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(with_users, Settings(state=state), "test", work).result()


@contextmanager
def signed_in(browser: Browser, platform: Platform, name: str) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1200, "height": 900}) as context:
        page = context.new_page()
        sign_in(page, platform, name)
        yield page


def sign_in(page: Page, platform: Platform, name: str) -> None:
    page.goto(f"{platform.url}/console/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{platform.url}/console")


def both_themes(page: Page) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.set_viewport_size({"width": 1200, "height": 900})
    fits(page, 1200)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size({"width": 390, "height": 900})
    fits(page, 390)


def test_the_keyboard_alone_signs_in_and_out(context: BrowserContext, platform: Platform) -> None:
    for page in watched(context.new_page(), platform.url):
        page.goto(f"{platform.url}/console/jobs")
        expect(page).to_have_url(f"{platform.url}/console/login?next=%2Fconsole%2Fjobs")
        both_themes(page)
        page.keyboard.type("eve")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{platform.url}/console/jobs")
        page.get_by_text("eve", exact=True).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_text("signed in as viewer")).to_be_visible()
        both_themes(page)
        for width in (390, 700, 1000, 1200):  # the frame wraps at some of them
            page.set_viewport_size({"width": width, "height": 900})
            for shown in (page.get_by_text("signed in as viewer"), page.get_by_role("button", name="Sign out")):
                expect(shown).to_be_in_viewport(ratio=1)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Your account")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Sign out")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{platform.url}/console/login")
        page.go_back()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_wrong_password_is_said_and_the_name_is_kept(browser: Browser, platform: Platform) -> None:
    page = browser.new_page()  # not watched: the browser itself reports the 401
    page.goto(f"{platform.url}/console/login")
    page.get_by_label("Name").fill("eve")
    page.get_by_label("Password").fill("wrong horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not right")
    expect(page.get_by_label("Name")).to_have_value("eve")
    expect(page.get_by_label("Password")).to_be_focused()
    both_themes(page)
    page.close()


def test_each_role_sees_the_buttons_that_it_may_press(
    browser: Browser, platform: Platform, operator: httpx.Client
) -> None:
    with signed_in(browser, platform, "eve") as page:
        page.goto(f"{platform.url}{PAGE}")
        expect(page.locator("[data-pulse]")).to_have_text("live")
        expect(page.get_by_text("of the bake left")).to_be_visible()
        expect(page.locator("[data-action]")).to_have_count(0)
        expect(page.get_by_role("button", name="Send one request")).to_have_count(0)
        expect(page.get_by_role("link", name="audit")).to_have_count(0)
    with signed_in(browser, platform, "olga") as page:
        page.goto(f"{platform.url}{PAGE}")
        expect(page.get_by_role("button", name="Roll back")).to_be_visible()
        page.get_by_label("Body of the request").fill(",".join(["0.1"] * 30))
        page.get_by_role("button", name="Send one request").click()
        expect(page.locator("[data-answer]")).to_contain_text("Status 200")
        both_themes(page)


def test_a_session_that_ends_in_mid_form_loses_nothing(
    browser: Browser, platform: Platform, operator: httpx.Client
) -> None:
    with signed_in(browser, platform, "dora") as page:
        page.goto(f"{platform.url}{PAGE}")
        page.get_by_role("button", name="Pause").click()
        page.get_by_label("Reason").fill("a long reason that nobody types twice")
        other = page.context.new_page()
        other.goto(f"{platform.url}/console/jobs")
        other.get_by_text("dora", exact=True).click()
        other.get_by_role("button", name="Sign out").click()
        expect(other).to_have_url(f"{platform.url}/console/login")
        other.close()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Pause").click()
        expect(dialog.get_by_role("alert")).to_contain_text("Your session has ended, and nothing was done")
        fits(page, 1200)
        with page.context.expect_page() as opening:
            dialog.get_by_role("link", name="Sign in in a new tab").click()
        sign_in(opening.value, platform, "dora")
        opening.value.close()
        dialog.get_by_role("button", name="Pause").click()
        expect(page.locator("[data-done]")).to_contain_text("Pause: accepted")
        expect(page.get_by_role("list", name=f"Journal of {NAME}")).to_contain_text(
            "pause asked for by dora: a long reason that nobody types twice"
        )
        page.get_by_role("button", name="Resume").click()
        dialog.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_a_live_page_says_that_its_session_has_ended(browser: Browser, platform: Platform) -> None:
    with signed_in(browser, platform, "dora") as page:
        expect(page.locator("[data-pulse]")).to_have_text("live")
        page.context.request.post(
            f"{platform.url}/console/logout",
            form={"csrf": str(page.locator('meta[name="csrf"]').get_attribute("content"))},
            headers={"origin": platform.url},
        )
        notice = page.locator("[data-connection]")
        expect(notice).to_contain_text("Your session has ended: nothing is updated any more", timeout=20_000)
        expect(notice.get_by_role("link", name="Sign in in a new tab")).to_be_visible()
        expect(page.locator("[data-pulse]")).to_have_text("not live")
        with page.context.expect_page() as opening:
            notice.get_by_role("link", name="Sign in in a new tab").click()
        sign_in(opening.value, platform, "dora")
        opening.value.close()
        expect(page.locator("[data-pulse]")).to_have_text("live", timeout=20_000)


def test_a_live_page_goes_on_after_a_new_login_that_it_had_no_time_to_miss(
    browser: Browser, platform: Platform
) -> None:
    with signed_in(browser, platform, "dora") as page:
        expect(page.locator("[data-pulse]")).to_have_text("live")
        asked = page.context.request
        csrf = str(page.locator('meta[name="csrf"]').get_attribute("content"))
        with page.expect_request(
            "**/console/live", timeout=30_000
        ):  # its stream is told that the old session ended
            asked.post(f"{platform.url}/console/logout", form={"csrf": csrf}, headers={"origin": platform.url})
            asked.post(
                f"{platform.url}/console/login",
                form={"name": "dora", "password": PASSWORD},
                headers={"origin": platform.url},
            )
        expect(page.locator("[data-connection]")).to_contain_text("Connected again")
        expect(page.locator("[data-pulse]")).to_have_text("live")


def test_a_role_that_is_lowered_counts_in_an_open_page(
    browser: Browser, platform: Platform, operator: httpx.Client
) -> None:
    with signed_in(browser, platform, "dora") as page:
        page.goto(f"{platform.url}{PAGE}")
        page.get_by_role("button", name="Pause").click()
        on_users(platform.state, lambda users, now: users.set_role("dora", Role.VIEWER, now))
        try:
            dialog = page.get_by_role("dialog")
            dialog.get_by_role("button", name="Pause").click()
            expect(dialog.get_by_role("alert")).to_contain_text(
                "Nothing was changed: dora, viewer, may not do this"
            )
            expect(page.locator("[data-connection]")).to_contain_text(
                "What you may do here was changed: load the page again", timeout=20_000
            )
            page.reload()
            expect(page.locator("[data-action]")).to_have_count(0)
        finally:
            on_users(platform.state, lambda users, now: users.set_role("dora", Role.OPERATOR, now))


def test_of_two_operators_with_opposite_buttons_the_second_is_told_who_was_first(
    browser: Browser, platform: Platform, operator: httpx.Client
) -> None:
    with signed_in(browser, platform, "otto") as first, signed_in(browser, platform, "olga") as second:
        for page, button in ((first, "Skip all bakes"), (second, "Roll back")):
            page.goto(f"{platform.url}{PAGE}")
            page.get_by_role("button", name=button).click()
        first.get_by_role("dialog").get_by_role("button", name="Skip all bakes").click()
        expect(first.locator("[data-done]")).to_contain_text("Skip all bakes: accepted")
        dialog = second.get_by_role("dialog")
        expect(dialog).to_contain_text("This can no longer be done", timeout=30_000)
        dialog.get_by_role("button", name="Cancel").click()
        expect(second.get_by_role("list", name=f"Journal of {NAME}")).to_contain_text("asked for by otto")


def test_undo_goes_back_to_the_version_before(
    browser: Browser, platform: Platform, operator: httpx.Client
) -> None:
    if operator.get(ENDPOINT).json()["rollout"] is not None:
        operator.post(f"{ENDPOINT}/rollout/promote", json={"full": True}).raise_for_status()
    with signed_in(browser, platform, "olga") as page:
        page.goto(f"{platform.url}{PAGE}")
        page.get_by_role("button", name="Go back to version 1").click(timeout=60_000)
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Goes back to version 1")
        expect(dialog).to_contain_text(f"tidegate rollout undo {NAME} --to 1")
        page.get_by_label("Reason").fill("worse on Mondays")
        dialog.get_by_role("button", name="Go back to version 1").click()
        expect(page.get_by_role("list", name=f"Journal of {NAME}")).to_contain_text(
            "asked for by olga: worse on Mondays"
        )
        expect(page.get_by_role("button", name="Go back to version 1")).to_have_count(0)


def test_the_audit_shows_who_did_what_and_why(
    browser: Browser, platform: Platform, operator: httpx.Client
) -> None:
    with signed_in(browser, platform, "root") as page:
        page.get_by_role("link", name="audit").click()
        table = page.get_by_role("region", name="Audit, as a table")
        expect(table).to_contain_text("olga")
        both_themes(page)
        page.set_viewport_size({"width": 1200, "height": 900})
        page.get_by_label("Who").fill("dora")
        page.get_by_role("button", name="Filter", exact=True).click()
        expect(table).to_contain_text("refused")
        expect(table).to_contain_text("a long reason that nobody types twice")
        expect(table).not_to_contain_text("olga")
        page.get_by_role("link", name="Show all").click()
        expect(page).to_have_url(f"{platform.url}/console/audit")


def test_an_admin_adds_a_user_who_takes_over_and_is_disabled(browser: Browser, platform: Platform) -> None:
    with signed_in(browser, platform, "root") as page:
        page.goto(f"{platform.url}/console/users")
        both_themes(page)
        page.get_by_role("button", name="Add a user").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name").fill("nina")
        dialog.get_by_label("Role").select_option("operator")
        dialog.get_by_label("New password", exact=True).fill(PASSWORD)
        dialog.get_by_label("once more").fill("something else altogether")
        dialog.get_by_role("button", name="Add a user").click()
        expect(dialog.get_by_role("alert")).to_contain_text("differ")
        dialog.get_by_label("once more").fill(PASSWORD)
        both_themes(page)
        dialog.get_by_role("button", name="Add a user").click()
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="nina"))
        expect(row).to_contain_text("operator")
        expect(page.get_by_role("button", name="Remove root")).to_have_count(0)
        with signed_in(browser, platform, "nina") as own:
            own.get_by_text("nina", exact=True).click()
            own.get_by_role("link", name="Your account").click()
            own.get_by_role("button", name="Create a token").click()
            box = own.get_by_role("dialog")
            box.get_by_label("What it is for").fill("ci")
            box.get_by_role("button", name="Create a token").click()
            token = box.locator("[data-token]")
            expect(token).to_contain_text("tidegate_")
            text = str(token.text_content())
            both_themes(own)
            box.get_by_role("button", name="I have kept it").click()
            expect(own.get_by_role("button", name="Revoke ci")).to_be_visible()
            assert text not in own.content()
            both_themes(own)
            page.get_by_role("button", name="Disable nina").click()
            dialog.get_by_role("button", name="Disable").click()
            expect(row).to_contain_text("disabled")
            own.reload()
            expect(own).to_have_url(re.compile("/console/login"))
        answer = httpx.get(f"{platform.url}/tidegate/v1/caller", headers={"authorization": f"Bearer {text}"})
        assert answer.status_code == 403


def test_a_page_of_another_origin_can_do_nothing_in_an_admins_name(browser: Browser, platform: Platform) -> None:
    with signed_in(browser, platform, "root") as page, other_site(HOSTILE.format(url=platform.url)) as url:
        hostile = page.context.new_page()
        with hostile.expect_response(f"{platform.url}/console/logout") as told:
            hostile.goto(url)
        assert told.value.status == 403
        expect(hostile).to_have_title("opaque,rejected,rejected")
        assert hostile.frame_locator("#framed").get_by_role("heading", name="Endpoints").count() == 0
        page.goto(f"{platform.url}/console/audit?who=root")
        refused = page.get_by_role("row").filter(has_text="refused").filter(has_text="another site")
        expect(refused).to_have_count(3)
        assert platform.controller_pid and httpx.get(f"{platform.url}/healthz").status_code == 200
