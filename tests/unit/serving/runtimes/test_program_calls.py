"""Every call of a program has an outcome, also one whose client leaves at once."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tidegate.serving.contract.invocation import Call, ModelFailed, Outcome
from tidegate.serving.runtimes.program import Program


@pytest.mark.parametrize("begun", [True, False])
async def test_a_call_whose_client_leaves_has_an_outcome(begun: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(self: Program, call: Call) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError("it never comes")

    monkeypatch.setattr(Program, "_forward", wait)
    container = SimpleNamespace(name="primary")
    spec: Any = SimpleNamespace(containers=[container], socket="/nowhere/s.sock")
    found: list[Outcome] = []
    call = Call(b"", {})
    Program(spec, container, lambda *_: None).submit(call, found.append)  # type: ignore[arg-type]
    if begun:
        await asyncio.sleep(0)
    call.abandon()
    for _ in range(4):
        await asyncio.sleep(0)
    [outcome] = found
    assert isinstance(outcome, ModelFailed) and outcome.status == 0
