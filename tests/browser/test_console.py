"""The console as a person meets it: every page clicked through, in light and dark, wide and on a phone."""

import csv
import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.checks import await_result, fits, watched
from tests.scene import train
from tidegate.host.platform import Platform

BAD = "strategy=linear&size=25%25&wait=2m&final_bake=1m&instances=3&rps=40&startup=10s"
PAGES = {
    "endpoints": "",
    "jobs": "/jobs",
    "overview": "/overview",
    "flowchart": "/flowchart?individual=yes&large=no",
    "mode": "/flowchart?individual=no",
    "planner": "/planner",
    "plan": "/planner?example=payroll-fraud",
    "problem": "/planner?rate=-1",
    "missing": "/planner?rate=",
    "traffic": "/rehearse",
    "lessons": "/lessons",
    "lab": "/lessons/lab",
    "drift": "/challenges",
    "peak": "/lessons/peak?rule=tracking",
    "update": "/challenges?show=update&deaths=old&deaths=controller",
    "incident": "/lessons/incident",
    "modes": "/lessons/modes?burst=2000",
    "containers": "/lessons/containers?fault=fails",
    "spot": "/lessons/spot?lost=all",
    "alarms": "/lessons/alarms?guards=errors&guards=slow",
    "access": "/lessons/access?role=operator&body=chat",
    "recommender": "/recommender",
    "summary": "/summary",
    "two plans": "/planner?example=salary-benchmarking&rate=3&against=example%3Dsalary-benchmarking",
    "architectures": "/architectures",
    "compute": "/compute?rate=nonsense",
    "rolling": "/rolling",
    "targets": "/targets?example=learning-recommendations",
    "rollout": f"/rehearse?{BAD}&fault=error-rate&amount=20%25",
}
pytestmark = pytest.mark.timeout(300)


def address(platform: Platform, name: str) -> str:
    return f"{platform.url}/console{PAGES[name]}"


@pytest.mark.parametrize("name", PAGES)
def test_nothing_bars_anybody_from_a_page(page: Page, platform: Platform, name: str) -> None:
    """Light and wide as it is loaded, then dark and as narrow as a phone."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(address(platform, name))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    fits(page, 1200)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size({"width": 390, "height": 900})
    fits(page, 390)


def test_the_walk_ends_in_a_mode_and_goes_on_to_a_plan(page: Page, platform: Platform) -> None:
    page.goto(address(platform, "overview"))
    page.get_by_role("navigation", name="Chapters").get_by_role("link", name="Inference mode").click()
    for answer in ("Yes", "No", "No"):
        page.get_by_role("link", name=answer, exact=True).click()
    page.get_by_role("link", name="Yes", exact=True).click()
    expect(page.locator("[data-mode]")).to_have_attribute("data-mode", "serverless")
    page.get_by_role("link", name="Change this answer").nth(1).click()
    page.get_by_role("link", name="Yes", exact=True).click()
    expect(page.locator("[data-mode]")).to_have_attribute("data-mode", "asynchronous")
    page.get_by_role("link", name="Plan it with these answers").click()
    page.get_by_label("How many requests a second come in an ordinary busy hour?").fill("0.01")
    page.get_by_role("button", name="Make the plan").click()
    expect(page.locator("[data-rows]")).to_contain_text("Asynchronous")


def test_a_wrong_answer_is_said_at_its_field(page: Page, platform: Platform) -> None:
    page.goto(address(platform, "problem"))
    expect(page.get_by_role("alert")).to_contain_text("rate: ")
    expect(page.get_by_role("alert")).to_be_in_viewport()
    expect(page.locator("#rate")).to_have_attribute("aria-invalid", "true")


def test_the_keyboard_alone_will_do(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/console/flowchart")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{platform.url}/console/flowchart?individual=yes")
    expect(page.get_by_text("Are payloads large").first).to_be_visible()


def test_a_bad_version_is_pulled_and_can_be_watched(page: Page, platform: Platform) -> None:
    page.goto(address(platform, "rollout"))
    expect(page.get_by_text("rolled back", exact=True)).to_have_count(2)
    journal = page.get_by_role("list", name="Journal of the first rollout")
    expect(journal).to_contain_text("in ALARM state during baking")
    slider = page.get_by_role("slider", name="Moment of both rollouts")
    slider.press("End")
    first, second = page.locator("[data-split]").first, page.locator("[data-split]").last
    expect(first).to_have_attribute("aria-label", "old version 100 %, new version 0 % of the requests")
    expect(page.locator(".journal li.ahead")).to_have_count(0)
    away = page.locator("[data-units-new] .unit.away").first  # the new version's instances are gone
    assert away.evaluate("unit => getComputedStyle(unit).backgroundImage") == "none"
    slider.fill("500")
    expect(first).to_have_attribute("aria-label", "old version 75 %, new version 25 % of the requests")
    expect(second).to_have_attribute("aria-label", "old version 0 %, new version 100 % of the requests")
    expect(journal.locator("li.ahead").last).to_contain_text("Deployment rolled back")
    slider.press("Home")
    expect(first).to_have_attribute("aria-label", "old version 100 %, new version 0 % of the requests")
    slider.press("End")
    expect(page.locator(".journal li.ahead")).to_have_count(0)
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("region", name="Blast radius")).to_contain_text("times as many requests")


def test_a_good_version_takes_over(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/console/rehearse")
    page.get_by_label("Canary").first.check()
    page.get_by_label("What is wrong with the new version").select_option("")
    page.get_by_role("button", name="Run both").click()
    expect(page.get_by_text("passed", exact=True)).to_have_count(2)


def test_traffic_shifting_opens_at_the_beginning_of_a_rollout(page: Page, platform: Platform) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(address(platform, "traffic"))
    expect(page.get_by_role("slider", name="Moment of both rollouts")).to_have_value("0")
    page.get_by_role("link", name="Choose the strategies").click()
    expect(page.locator("#setup legend").first).to_be_in_viewport()
    expect(page.get_by_text("rolled back", exact=True)).to_have_count(2)
    expect(page.get_by_role("list", name="Journal of the second rollout")).to_contain_text("all traffic is back")


def test_figures_are_moved_and_the_bill_follows(page: Page, platform: Platform) -> None:
    """Without a new page, by hand and by the keyboard on a slider."""
    page.goto(address(platform, "overview"))
    page.get_by_role("link", name="One endpoint for each client").click()
    expect(page).to_have_url(re.compile("/console/architectures"))
    await_result(page)
    page.evaluate("window.stays = true")
    figures = page.get_by_role("region", name="What it costs")
    page.get_by_role("spinbutton", name="Clients, each with a model of its own").fill("10")
    expect(figures).to_contain_text("10 endpoints")
    expect(figures).to_contain_text("1 instance holds")
    slider = page.get_by_role("slider", name="Clients, each with a model of its own")
    slider.focus()
    page.keyboard.press("End")
    expect(figures).to_contain_text("5,000 endpoints")
    expect(page).to_have_url(re.compile("clients=5000"))
    expect(page.locator(".uplot")).to_have_count(1)
    assert page.evaluate("window.stays")
    page.goto(address(platform, "compute"))
    expect(page.get_by_role("alert")).to_contain_text("'nonsense' is not a number")


def test_a_server_that_does_not_answer_leaves_the_figures_of_before(browser: Browser, platform: Platform) -> None:
    page = browser.new_page()  # not watched: the browser itself reports what was cut off
    page.goto(address(platform, "architectures"))
    page.route("**/console/architectures?**", lambda route: route.abort())
    page.get_by_role("spinbutton", name="Clients, each with a model of its own").fill("10")
    expect(page.get_by_role("status").last).to_contain_text("The figures are those of before")
    expect(page.get_by_text("1,000 endpoints")).to_be_visible()
    page.close()


def test_the_story_leads_from_page_to_page(page: Page, platform: Platform) -> None:
    page.goto(address(platform, "overview"))
    page.get_by_role("link", name="Begin with the first").click()
    for heading in ("What goes wrong in production", "Shift traffic"):
        page.get_by_role("navigation", name="Next and previous chapter").get_by_role("link").last.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
    expect(page.get_by_role("navigation", name="Chapters").locator("[aria-current=page]")).to_contain_text(
        "Rehearse"
    )
    expect(page.get_by_role("navigation", name="Pages").locator("[aria-current]")).to_have_text("Learn")


def test_on_a_phone_the_navigation_is_one_line_and_the_chapter_in_view(
    browser: Browser, platform: Platform
) -> None:
    with browser.new_context(viewport={"width": 390, "height": 800}) as own:
        for page in watched(own.new_page(), platform.url):
            page.goto(address(platform, "summary"))
            nav = page.get_by_role("navigation", name="Pages").bounding_box()
            assert nav is not None and nav["height"] < 60
            expect(page.get_by_role("navigation", name="Chapters").locator("[aria-current]")).to_be_in_viewport()


def test_a_challenge_is_run_with_what_was_chosen(page: Page, platform: Platform) -> None:
    page.goto(address(platform, "drift"))
    page.get_by_label("What changes").select_option("nothing")
    page.get_by_role("button", name="Run it again").click()
    expect(page.get_by_text("Nothing was found")).to_be_visible()
    page.get_by_role("link", name="An update under load").click()
    for death in ("an instance of the old version", "an instance of the new version"):
        page.get_by_label(death).uncheck()
    page.get_by_role("button", name="Run it again").click()
    journal = page.get_by_role("list", name="Journal of the update")
    expect(journal).to_contain_text("the controller dies")
    expect(journal).not_to_contain_text("an instance")


def test_two_plans_stand_side_by_side(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/console/planner?example=salary-benchmarking")
    page.get_by_role("link", name="Compare with other answers").click()
    page.locator("#rate").fill("3")
    page.get_by_role("button", name="Make the plan").click()
    table = page.get_by_role("region", name="Two plans, as a table")
    expect(table).to_contain_text("A month")
    expect(page.get_by_role("region", name="Two plans", exact=True)).to_contain_text("rate")


def test_a_model_is_measured_and_the_job_is_stopped(page: Page, platform: Platform, tmp_path: Path) -> None:
    """A job of real loads, and the card of the endpoint that has the model."""
    spec = {"endpoint": "measured", "model": {"image": "tidegate/xgboost", "data": train(tmp_path, 4)}}
    assert httpx.put(f"{platform.url}/tidegate/v1/deploy", json={"spec": spec}).status_code == 200
    page.goto(address(platform, "recommender"))
    page.locator("#model").select_option(index=0)
    page.get_by_role("button", name="Start measuring").click()
    expect(page.get_by_role("alert")).to_contain_text("Give rows or the address")
    page.get_by_label("Rows to send").fill(",".join(["0.5"] * 30))
    page.get_by_role("button", name="Start measuring").click()
    expect(page.locator("[data-part=state]")).to_contain_text("measuring")
    page.get_by_role("button", name="Stop it").click()
    expect(page.locator("[data-part=state]")).to_contain_text("stopped", timeout=60_000)
    expect(page.get_by_role("button", name="Stop it")).to_be_hidden()
    page.goto(f"{platform.url}/console/endpoints/measured/card")
    page.emulate_media(color_scheme="dark", media="print")
    expect(page.get_by_role("article")).to_contain_text("Versions")
    expect(page.get_by_role("navigation", name="Pages")).to_be_hidden()
    fits(page, 1200)
    page.emulate_media(media="screen")
    fits(page, 1200)


def test_rolling_is_slower_to_turn_back_than_two_fleets(page: Page, platform: Platform) -> None:
    page.goto(address(platform, "rolling"))
    expect(page.locator("[data-seconds=linear]")).to_have_text("0 s")
    expect(page.locator("[data-seconds=rolling]")).to_have_text("121 s")
    expect(page.get_by_role("region", name="The playbook")).to_contain_text("Linear")


def test_what_cannot_be_meant_is_said(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/console/rehearse?strategy=linear&size=90%25")
    expect(page.get_by_role("alert")).to_contain_text("rollout.step")


def test_the_switch_between_light_and_dark_is_kept(browser: Browser, platform: Platform) -> None:
    with browser.new_context() as own:
        for page in watched(own.new_page(), platform.url):
            page.goto(f"{platform.url}/console/flowchart")
            page.get_by_role("button", name="Dark").click()
            page.reload()
            assert page.evaluate("document.documentElement.dataset.theme") == "dark"
            page.get_by_role("button", name="Light").click()
            assert page.evaluate("document.documentElement.dataset.theme") == "light"
            expect(page.get_by_role("button", name="Dark")).to_be_visible()


def test_a_plan_is_saved_and_deployed(page: Page, platform: Platform, tmp_path: Path) -> None:
    page.goto(f"{platform.url}/console/planner?example=payroll-fraud")
    with page.expect_download() as saving:
        page.get_by_role("link", name="Save the spec").click()
    saved = tmp_path / "plan.yaml"
    saving.value.save_as(saved)
    assert "endpoint: payroll-fraud" in saved.read_text()
    page.locator("#model-data").fill(train(tmp_path, 1))
    page.get_by_label("Your name").fill("Dana")
    page.get_by_role("button", name="Deploy it here").click()
    expect(page.locator("[data-deploy-progress]")).to_contain_text("InService", timeout=60_000)
    journal = page.get_by_role("list", name="Journal of the deployment")
    expect(journal).to_contain_text("payroll-fraud")
    expect(journal).to_contain_text("Dana")


def test_the_server_and_its_slash_lead_to_the_console(page: Page, platform: Platform) -> None:
    for path in ("", "/", "/console/"):
        page.goto(f"{platform.url}{path}")
        expect(page).to_have_url(f"{platform.url}/console")
        expect(page.get_by_role("navigation", name="Pages")).to_be_visible()


def test_a_page_that_is_not_there_leads_back(browser: Browser, platform: Platform) -> None:
    page = browser.new_page()  # not watched: the browser itself reports the 404
    answer = page.goto(f"{platform.url}/console/nowhere")
    assert answer is not None and answer.status == 404
    expect(page.get_by_role("alert")).to_contain_text("/console/nowhere")
    pages = page.get_by_role("navigation", name="Pages")
    expect(pages.get_by_role("link", name="Planner")).to_have_attribute("href", "/console/planner")
    pages.get_by_role("link", name="Endpoints").click()
    expect(page).to_have_url(f"{platform.url}/console")
    page.close()


def test_an_empty_form_says_which_answers_are_missing(page: Page, platform: Platform) -> None:
    page.goto(address(platform, "planner"))
    page.get_by_role("button", name="Make the plan").click()
    expect(page.get_by_role("alert")).to_contain_text("One answer is missing")
    page.get_by_role("alert").get_by_role("link").click()
    expect(page.locator("#rate")).to_have_attribute("aria-invalid", "true")
    page.locator("#rate").fill("20")
    page.get_by_role("button", name="Make the plan").click()
    expect(page.get_by_role("heading", name="The plan for")).to_be_visible()


def test_a_model_file_is_uploaded_and_deployed(page: Page, platform: Platform, tmp_path: Path) -> None:
    made = Path(urlsplit(train(tmp_path, 3)).path)
    model = made.rename(tmp_path / "my model (3).tar.gz")
    page.goto(f"{platform.url}/console/planner?example=payroll-fraud&name=uploaded-fraud")
    page.get_by_label("Or a model file").set_input_files(model)
    page.get_by_label("Your name").fill("Dana")
    page.locator("#model-data").fill("file:///somewhere")
    page.get_by_role("button", name="Deploy it here").click()
    expect(page.locator("[data-deploy-progress]")).to_contain_text("not both")
    page.locator("#model-data").fill("")
    page.get_by_role("button", name="Deploy it here").click()
    expect(page.locator("[data-deploy-progress]")).to_contain_text("InService", timeout=60_000)


def test_without_model_data_nothing_is_deployed(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/console/planner?example=payroll-fraud")
    page.get_by_label("Your name").fill("Dana")
    page.get_by_role("button", name="Deploy it here").click()
    expect(page.locator("[data-deploy-progress]")).to_contain_text("Say where the model data is")


def test_it_all_stands_there_without_scripts(browser: Browser, platform: Platform) -> None:
    own = browser.new_context(java_script_enabled=False)
    for page in watched(own.new_page(), platform.url):
        page.goto(address(platform, "rollout"))
        expect(page.get_by_role("list", name="Journal of the first rollout")).to_contain_text("baking for 120 s")
        page.goto(f"{address(platform, 'architectures')}?clients=10")
        expect(page.get_by_role("region", name="What it costs", exact=True)).to_contain_text("10 endpoints")
        page.get_by_text("The same as a table").first.click()
        expect(page.get_by_role("table").first).to_contain_text("an endpoint each")
    own.close()


def test_a_page_that_is_being_computed_says_so_and_then_shows_it(browser: Browser, platform: Platform) -> None:
    """Also without scripts."""
    for scripts, name in ((True, "waits"), (False, "waits-plainly")):
        with browser.new_context(java_script_enabled=scripts) as context:
            page = context.new_page()
            answer = page.goto(f"{platform.url}/console/planner?example=payroll-fraud&rate=123&name={name}")
            assert answer is not None and answer.status == 200
            expect(page.get_by_role("heading", level=1)).to_have_text(name, timeout=60_000)
            assert page.locator("[data-waiting]").count() == 0


def test_the_page_that_waits_is_accessible(page: Page, platform: Platform) -> None:
    """Its own look for the result is held back meanwhile."""
    address = f"{platform.url}/console/planner?example=payroll-fraud&rate=124&name=held"
    page.route("**/planner?*", lambda route: route.continue_() if route.request.is_navigation_request() else None)
    page.goto(address)
    if page.locator("[data-waiting]").count():
        found = Axe().run(page).response["violations"]
        assert [one["id"] for one in found] == []
        expect(page.get_by_role("progressbar")).to_be_visible()


def test_a_long_table_sorts_by_each_column_and_is_exported(page: Page, platform: Platform, tmp_path: Path) -> None:
    page.goto(f"{platform.url}/console/compute")
    table = page.locator("main table:has(.sorter)").first
    expect(table).to_be_attached(timeout=30_000)
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    assert page.locator("main table:not(:has(.sorter))").count() > 0, "short tables stay as they are"
    heads = table.locator("thead th")
    column = next(n for n in range(heads.count()) if "number" in (heads.nth(n).get_attribute("class") or ""))
    cells = table.locator(f"tbody tr > :nth-child({column + 1})")
    for order, down in (("ascending", False), ("descending", True)):
        table.locator(".sorter").nth(column).press("Enter")
        expect(heads.nth(column)).to_have_attribute("aria-sort", order)
        shown = [text.strip("$ ").replace(",", "") for text in cells.all_inner_texts()]
        numbers = [float(text) for text in shown if text != "-"]
        assert numbers == sorted(numbers, reverse=down) and len(set(numbers)) > 1
    with page.expect_download() as saved:
        page.locator(".table-tools button").first.click()
    saved.value.save_as(tmp_path / "table.csv")
    rows = list(csv.reader((tmp_path / "table.csv").read_text().splitlines()))
    assert len(rows) == cells.count() + 1 and {len(row) for row in rows} == {heads.count()}
