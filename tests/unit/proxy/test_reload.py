"""When a reload is over, asked of a master that answers by a script: a real one is too quick to be caught at it."""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate.domain.errors import Transient
from tidegate.proxy import runtime
from tidegate.proxy.runtime import Runtime

PROCESSES = "#<PID> <type> <reloads>\n12              worker          0\n# old workers\n11     worker   1\n"
ALONE = "#<PID> <type> <reloads>\n12              worker          0\n# old workers\n"


def info(stopping: bool) -> str:
    return f"Name: HAProxy\nPid: 11\nStopping: {int(stopping)}\n"


def reloaded(answer: Callable[[str], str], hangs_up: bool = True) -> list[str]:
    """The commands of one reload."""
    told: list[str] = []

    async def master(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over.clear()
        told.append((await reader.readline()).decode().strip())
        writer.write(answer(told[-1]).encode())
        if not hangs_up and told[-1].startswith("@"):
            await reader.read()
        writer.close()
        await writer.wait_closed()
        over.set()

    over = asyncio.Event()

    async def scene() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "s"
            server = await asyncio.start_unix_server(master, path)
            try:
                proxy = Runtime(Path(folder) / "none", path)
                await proxy.reload()
                await proxy.await_old_stopped()
            finally:
                await over.wait()
                server.close()

    asyncio.run(scene())
    return told


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "REFUSAL_PAUSE", 0)


def test_reload_ends_when_the_old_process_stops_listening() -> None:
    """Until then commands go to either of the two."""
    heard = iter([False, False, True])
    answers = {"reload": "Success=1\n", "show proc": PROCESSES}
    told = reloaded(lambda command: answers.get(command) or info(next(heard)))
    assert told == ["reload", *["show proc", "@!11 show info"] * 3]


def test_reload_ends_when_the_old_process_is_gone() -> None:
    """The master does not hang up when it is asked for one that has ended."""
    gone = "Can't find the target PID matching the prefix '@!11'\n"
    answers = {"reload": "Success=1\n", "show proc": PROCESSES}
    told = reloaded(lambda command: answers.get(command, gone), hangs_up=False)
    assert told == ["reload", "show proc", "@!11 show info"]
    answers["show proc"] = ALONE
    assert reloaded(lambda command: answers[command]) == ["reload", "show proc"]


def test_old_process_that_never_stops_is_reported() -> None:
    answers = {"reload": "Success=1\n", "show proc": PROCESSES}
    with pytest.raises(Transient, match="the old process does not stop listening"):
        reloaded(lambda command: answers.get(command, info(False)))


def test_unresponsive_old_process_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "STUCK", 0.01)
    answers = {"reload": "Success=1\n", "show proc": PROCESSES}
    told = reloaded(lambda command: answers.get(command, ""), hangs_up=False)
    assert told == ["reload", "show proc", "@!11 show info"]


def test_failed_reload_reports_haproxys_message() -> None:
    with pytest.raises(Transient, match="haproxy did not reload: no such thing"):
        reloaded(lambda command: "Success=0\n--\n[ALERT]    (12) : no such thing\n")
