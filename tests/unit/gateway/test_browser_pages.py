"""What a browser gets at ``/`` and for pages that are not there, and what other clients go on getting."""

import pytest

from tests.gateway_harness import SIGNED, GatewayHarness
from tests.unit.gateway.test_app import ALARMS, ask, code
from tidegate.domain.errors import NotFound
from tidegate.gateway import browser_pages

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_browser_that_opens_the_address_gets_the_console(method: str) -> None:
    answer = ask(GatewayHarness(), method, "/", headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize("accept", ["*/*", "", "application/json", "text/html;q=0", "text/*", "text/htmlx"])
def test_other_clients_get_aws_errors_as_before(accept: str) -> None:
    answer = ask(GatewayHarness(), "GET", "/", headers={"Accept": accept})
    assert answer.status_code >= 400 and "html" not in answer.headers["content-type"]


def test_a_query_or_a_post_is_a_call_of_aws_whatever_is_accepted() -> None:
    query = ask(GatewayHarness(), "GET", "/?Action=DescribeAlarms&Version=2010-08-01", headers=BROWSER)
    assert "location" not in query.headers and "html" not in query.headers["content-type"]
    post = ask(GatewayHarness(), "POST", "/", headers={**BROWSER, **ALARMS}, content=b"{}")
    assert post.status_code == 200


@pytest.mark.parametrize(("path", "target"), [("/console/", "/console"), ("/console/?a=1", "/console?a=1")])
def test_the_console_with_a_slash_is_the_console(path: str, target: str) -> None:
    answer = ask(GatewayHarness(), "GET", path, headers={"Accept": "*/*"})
    assert (answer.status_code, answer.headers["location"]) == (308, target)


def test_an_unknown_page_of_the_console_is_a_page_for_browsers() -> None:
    answer = ask(GatewayHarness(), "GET", "/console/nowhere", headers=BROWSER)
    assert answer.status_code == 404 and answer.headers["content-type"].startswith("text/html")
    assert "there is no /console/nowhere" in answer.text and 'href="/console"' in answer.text
    assert '<nav aria-label="Pages">' in answer.text and 'href="/console/planner"' in answer.text
    assert "tidegate/v1" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert code(ask(GatewayHarness(), "GET", "/console/nowhere", headers={"Accept": "*/*"})) == "NotFound"


def test_the_native_api_answers_browsers_in_json() -> None:
    answer = ask(GatewayHarness(), "GET", "/tidegate/v1/nowhere", headers=BROWSER)
    assert (answer.status_code, code(answer)) == (404, "NotFound")


def test_an_error_page_escapes_what_was_asked_for() -> None:
    page = browser_pages.error_page(NotFound("<script>alert(1)</script>"))
    assert b"<script>alert" not in page.body and b"&lt;script&gt;" in page.body


def test_with_keys_a_browser_is_led_to_the_login() -> None:
    answer = ask(GatewayHarness(SIGNED), "GET", "/", headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/login?next=%2Fconsole")


def test_the_redirect_is_for_this_server_alone() -> None:
    answer = ask(GatewayHarness(), "GET", "/", headers={**BROWSER, "Host": "evil.example"})
    assert answer.status_code == 403 and "location" not in answer.headers
