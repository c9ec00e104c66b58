"""The page to chat: for an endpoint that is there, with its name escaped."""

import asyncio

import httpx

from tests.gateway_harness import GatewayHarness
from tidegate.console import core_pages, operate_pages
from tidegate.console.page_context import PageContext
from tidegate.gateway.app import build_app


def visit(image: str, *paths: str) -> list[httpx.Response]:
    house = GatewayHarness()
    spec = {"endpoint": "chat", "model": {"image": image, "data": "file:///m/model.gguf"}}

    async def ask() -> list[httpx.Response]:
        operate = operate_pages.routes(PageContext(house.gateway, {}))
        app = build_app(house.gateway, [*core_pages.chat_routes(house.gateway), *operate])
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8471"
        ) as client:
            (await client.put("/tidegate/v1/deploy", json={"spec": spec, "by": "me"})).raise_for_status()
            answers = [await client.get(path, headers={"accept": "text/html"}) for path in paths]
        await house.store.close()
        return answers

    return asyncio.run(ask())


def test_an_endpoint_has_a_page_to_chat_with_it_and_another_name_has_none() -> None:
    there, missing = visit("tidegate/gguf", "/console/endpoints/chat/chat", "/console/endpoints/nobody/chat")
    assert there.status_code == 200 and 'data-chat="chat"' in there.text, there.text
    assert "script-src 'self'" in there.headers["content-security-policy"]
    assert missing.status_code == 404


def test_only_a_model_that_generates_text_is_offered_to_chat_with() -> None:
    link = 'href="/console/endpoints/chat/chat"'
    for image, offered in (("tidegate/gguf", True), ("tidegate/gguf:1", True), ("tidegate/xgboost", False)):
        (page,) = visit(image, "/console/endpoints/chat")
        assert (link in page.text) == offered
