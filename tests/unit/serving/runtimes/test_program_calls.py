"""Every call of a server has an outcome, also one whose client leaves at once, or that its protocol cannot
express."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tidegate.domain.errors import Invalid
from tidegate.serving.contract.invocation import GONE, Call, ModelFailed, Outcome
from tidegate.serving.runtimes.program import Program
from tidegate.serving.runtimes.upstream_calls import (
    UpstreamCalls,
    UpstreamClient,
    UpstreamDialect,
    UpstreamRequest,
)


async def test_a_call_that_a_dialect_stumbles_over_has_an_outcome() -> None:
    class Broken(UpstreamDialect):
        def make_request(self, call: Call) -> UpstreamRequest:
            raise KeyError("inputs")

    spec: Any = SimpleNamespace(fleet=SimpleNamespace(endpoint="fraud"))
    calls, found = UpstreamCalls(spec, "primary", Broken()), list[Outcome]()
    calls.client = cast(UpstreamClient, object())
    calls.submit(Call(b"", {}), found.append)
    for _ in range(4):
        await asyncio.sleep(0)
    [outcome] = found
    assert isinstance(outcome, ModelFailed) and "cannot be forwarded: KeyError" in outcome.message


@pytest.mark.parametrize("begun", [True, False])
async def test_a_call_whose_client_leaves_has_an_outcome(begun: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(self: UpstreamCalls, call: Call) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError("it never comes")

    monkeypatch.setattr(UpstreamCalls, "_forward", wait)
    container = SimpleNamespace(name="primary")
    spec: Any = SimpleNamespace(
        containers=[container],
        socket="/nowhere/s.sock",
        fleet=SimpleNamespace(endpoint="chat"),
        invocation_timeout=1.0,
    )
    found: list[Outcome] = []
    call = Call(b"", {})
    Program(spec, container, lambda *_: None).submit(call, found.append)  # type: ignore[arg-type]
    if begun:
        await asyncio.sleep(0)
    call.abandon()
    for _ in range(4):
        await asyncio.sleep(0)
    [outcome] = found
    assert outcome is GONE  # the model may have done nothing wrong


async def test_a_call_that_the_protocol_cannot_express_has_an_outcome() -> None:
    class Narrow(UpstreamDialect):
        def make_request(self, call: Call) -> UpstreamRequest:
            raise Invalid("only tables, please, and no word-of-mouth")

    spec: Any = SimpleNamespace(max_body=1, invocation_timeout=1.0, fleet=SimpleNamespace(endpoint="chat"))
    calls = UpstreamCalls(
        spec, "primary", Narrow(), what="service", hide=lambda text: text.replace("word", "[secret]")
    )
    calls.client = SimpleNamespace()
    found: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    calls.submit(Call(b"", {}), found.set_result)
    outcome = await found
    assert isinstance(outcome, ModelFailed) and outcome.status == 400
    assert outcome.message == "only tables, please, and no [secret]-of-mouth"
