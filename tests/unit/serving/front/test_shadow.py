"""Copies of requests: what a shadow is sent, what is made of its answers, and what bounds it all."""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.proxy_harness import read_message
from tidegate.domain.fleet import FleetId
from tidegate.http1.messages import HttpReply
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Answer, ModelFailed, Note, Outcome, Rejected
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, ShadowCopies
from tidegate.serving.contract.replica_spec import ShadowCopies as Where
from tidegate.serving.front import shadow, shadow_answers, shadow_log
from tidegate.serving.front.connection import Request
from tidegate.serving.front.shadow import (
    LARGEST_ANSWER,
    MOST,
    MOST_BYTES,
    MOST_COPIES,
    CopyClients,
    CopyHeads,
    ShadowSender,
)
from tidegate.serving.front.shadow_answers import SMALL, CopiedRequest, ShadowAnswers
from tidegate.serving.front.shadow_log import ShadowLog, ShadowSide

PATIENCE = 300.0
CSV = (b"content-type", b"text/csv")
GOOD = Answer(b"0.5", "text/csv")

Reply = Callable[[], Awaitable[bytes]]


def http(status: int, body: bytes, kind: str = "text/csv", *more: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in (f"content-type: {kind}", f"content-length: {len(body)}", *more))
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


def request(body: bytes = b"1,2", *headers: tuple[bytes, bytes]) -> Request:
    given = [CSV, *headers]
    return Request(b"POST", b"/endpoints/e/invocations", given, dict(given), None, body, 0, 0, True, True)


@dataclass
class Stand:
    """A mirror, and in the proxy's place a socket that answers what the test says."""

    folder: Path
    reply: Reply
    share: int = 10_000
    seen: list[tuple[bytes, bytes]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    listens: bool = True
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    async def __aenter__(self) -> "Stand":
        self.folder.joinpath("share").write_text(str(self.share))
        if self.listens:
            self.server = await asyncio.start_unix_server(self._serve, self.folder / "s")
        self.mirror = ShadowSender(self._spec(), lambda at, note: self.notes.append(note))
        self.mirror.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.mirror.close()
        if self.listens:
            self.server.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    def offer(self, outcome: Outcome = GOOD, **of: Any) -> None:
        self.mirror.offer(of.get("request", request()), outcome, 700, *of.get("peer", ()))

    async def measured(self, name: str, count: int = 1) -> list[float]:
        async with asyncio.timeout(PATIENCE):
            while len(found := [note.value for note in self.notes if note.name == name]) < count:
                await asyncio.sleep(0.005)
        return found

    async def kept(self) -> list[dict[str, Any]]:
        await self.mirror.close()
        path = self.folder / "kept" / "r.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        try:
            while True:
                self.seen.append(await read_message(reader))
                writer.write(await self.reply())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def _spec(self) -> ReplicaSpec:
        return ReplicaSpec(
            replica="r",
            fleet=FleetId("e", 1, "main"),
            config_name="c",
            containers=(ContainerSpec(runtime=RuntimeChoice(RuntimeKind.XGBOOST), model_dir="/m"),),
            socket="/s",
            mirror=Where(
                socket=str(self.folder / "s"),
                fleet="e/1/shadow",
                share_file=str(self.folder / "share"),
                kept=str(self.folder / "kept" / "r.jsonl"),
            ),
        )


def run(scene: Callable[[Path], Coroutine[Any, Any, None]]) -> None:
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        asyncio.run(scene(Path(folder)))


async def same() -> bytes:
    return http(200, b"0.5")


async def never() -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


def test_a_copy_is_the_request_as_it_came_and_both_answers_are_kept() -> None:
    async def scene(folder: Path) -> None:
        async with Stand(folder, same) as stand:
            signed = ((b"host", b"here:1"), (b"authorization", b"AWS4 x"), (b"x-tidegate-start", b"7"))
            identified = (b"x-amzn-sagemaker-inference-id", b"id-7")
            stand.offer(request=request(b"1,2", *signed, identified))
            assert await stand.measured("MirrorAgreement") == [1]
            assert await stand.measured("MirrorDifference") == [0]
            [(head, body)] = stand.seen
            assert (
                head.startswith(b"POST /endpoints/e/invocations HTTP/1.1\r\nhost: here:1\r\n") and body == b"1,2"
            )
            assert b"authorization: AWS4 x\r\n" in head and b"x-tidegate-fleet: e/1/shadow\r\n" in head
            assert b"x-tidegate-start" not in head
            [pair] = await stand.kept()
            assert pair["inference_id"] == "id-7" and pair["request"] == {"text": "1,2"}
            assert pair["original"]["body"] == pair["shadow"]["body"] == {"text": "0.5"}
            assert (pair["original"]["status"], pair["original"]["latency_us"]) == (200, 700)
            assert pair["shadow"]["latency_us"] > 0
            assert pair["comparison"] == {"agrees": True, "mean": 0.0, "largest": 0.0}
            assert (folder / "kept" / "r.jsonl").stat().st_mode & 0o777 == 0o600

    run(scene)


def test_failures_of_either_side_are_kept_and_not_compared() -> None:
    async def wrong() -> bytes:
        return http(424, b'{"OriginalStatusCode": 500, "Message": "it broke"}', "application/json")

    async def scene(folder: Path) -> None:
        async with Stand(folder, wrong) as stand:
            stand.offer()
            stand.offer(ModelFailed(418, "no tea"))
            assert await stand.measured("MirrorCopies", 2) == [0, 0]
            kept = await stand.kept()
            assert [pair["shadow"]["status"] for pair in kept] == [500, 500]
            assert sorted(pair["original"]["status"] for pair in kept) == [200, 418]
            assert [pair["comparison"] for pair in kept] == [None, None]
            assert not [note for note in stand.notes if note.name == "MirrorAgreement"]

    run(scene)


def test_a_shadow_that_hangs_holds_a_bounded_number_and_nothing_else() -> None:
    async def scene(folder: Path) -> None:
        async with Stand(folder, never) as stand:
            for _ in range(MOST_COPIES + 40):
                stand.offer()
            assert await stand.measured("MirrorDropped", 40) == [1] * 40
            assert await stand.kept() == []

    run(scene)


def test_bytes_that_wait_are_bounded() -> None:
    async def scene(folder: Path) -> None:
        async with Stand(folder, never) as stand:
            half = request(bytes(MOST_BYTES // 2 - 10))
            for _ in range(3):
                stand.offer(request=half)
            assert len(await stand.measured("MirrorDropped")) == 1
            stand.offer(Answer(bytes(LARGEST_ANSWER + 1), "x/y"))
            assert len(await stand.measured("MirrorDropped", 2)) == 2

    run(scene)


def test_shadow_buffer_space_is_released() -> None:
    async def scene(folder: Path) -> None:
        async with Stand(folder, same) as stand:
            half = MOST_COPIES // 2  # the last of those before may just be ending
            for number in range(1, 7):
                for _ in range(half):
                    stand.offer()
                await stand.measured("MirrorCopies", number * half)
            assert not [note for note in stand.notes if note.name == "MirrorDropped"]

    run(scene)


def test_copies_fail_without_a_proxy_and_with_an_oversized_answer() -> None:
    async def endless() -> bytes:
        return http(200, bytes(LARGEST_ANSWER + 1))

    async def scene(folder: Path) -> None:
        async with Stand(folder, same, listens=False) as stand:
            stand.offer()
            assert await stand.measured("MirrorCopies") == [0]
            assert [pair["shadow"]["status"] for pair in await stand.kept()] == [0]
        (folder / "more").mkdir()
        async with Stand(folder / "more", endless) as stand:
            stand.offer()
            assert await stand.measured("MirrorCopies") == [0]

    run(scene)


def test_what_has_no_answer_of_the_model_is_not_copied_and_no_share_copies_nothing() -> None:
    async def scene(folder: Path) -> None:
        async with Stand(folder, same) as stand:
            stand.offer(Rejected(400, "ValidationError", "no"))
            stand.offer()
            await stand.measured("MirrorCopies")
            assert len(stand.seen) == 1
        (folder / "none").mkdir()
        async with Stand(folder / "none", same, share=0) as stand:
            for _ in range(100):
                stand.offer()
            assert await stand.kept() == [] and stand.seen == []

    run(scene)


def test_a_share_that_is_written_anew_is_taken_up() -> None:
    async def scene(folder: Path) -> None:
        async with Stand(folder, same, share=0) as stand:
            (folder / "share").write_text("10000")
            async with asyncio.timeout(PATIENCE):
                while not stand.seen:
                    stand.offer()
                    await asyncio.sleep(0.02)

    run(scene)


def test_a_disk_that_takes_nothing_costs_the_pairs_only() -> None:
    async def scene(folder: Path) -> None:
        (folder / "kept").write_text("in the way")
        async with Stand(folder, same) as stand:
            stand.offer()
            assert await stand.measured("MirrorAgreement") == [1]
            await stand.mirror.close()

    run(scene)


def test_a_full_file_is_put_aside_and_what_waits_is_bounded(tmp_path: Path) -> None:
    kept = ShadowLog(tmp_path / "r.jsonl")
    side = ShadowSide(200, 1, bytes(range(256)) * 20)
    for _ in range(3000):
        kept.add(1.0, (b"x" * 5000, ""), (side, side), None)
    lines = kept.take()
    assert sum(map(len, lines)) <= shadow_log.WAITING + 20_000
    first = json.loads(lines[0])
    assert first["request"] == {"bytes": 5000, "text": "x" * shadow_log.BODY}
    assert first["original"]["body"]["bytes"] == 5120 and "base64" in first["original"]["body"]
    for _ in range(40):
        kept.write(lines)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"r.jsonl", "r.jsonl.old"}
    assert all(size <= shadow_log.LARGEST_FILE + shadow_log.WAITING + 20_000 for size in sizes.values())


async def timed() -> bytes:
    return http(200, b"0.5", "text/csv", "x-tidegate-took: 321")


def test_replies_that_the_proxy_measured_are_read_together_and_none_is_missing() -> None:
    async def scene(folder: Path) -> None:
        async with Stand(folder, timed) as stand:
            for number in range(1, 41):
                stand.offer()
                await stand.measured("MirrorCopies", max(1, number - 3 * shadow_answers.TOGETHER))
            assert await stand.measured("MirrorCopies", 40) == [1] * 40
            pairs = await stand.kept()
            assert [pair["shadow"]["latency_us"] for pair in pairs] == [321] * 40

    run(scene)


def test_a_reply_that_came_while_the_clock_of_the_proxy_stood_still_took_a_microsecond() -> None:
    async def at_once() -> bytes:
        return http(200, b"0.5", "text/csv", "x-tidegate-took: 0")

    async def scene(folder: Path) -> None:
        async with Stand(folder, at_once) as stand:
            stand.offer()
            await stand.measured("MirrorCopies", 1)
            assert [pair["shadow"]["latency_us"] for pair in await stand.kept()] == [1]

    run(scene)


@pytest.mark.parametrize("told", ["", "-1", "1e3", "9" * 20])
def test_a_time_that_is_none_is_measured_here_and_the_next_reply_is_read_at_once(told: str) -> None:
    async def wrong() -> bytes:
        return http(200, b"0.5", "text/csv", f"x-tidegate-took: {told}")

    async def scene(folder: Path) -> None:
        async with Stand(folder, wrong) as stand:
            for number in (1, 2):
                stand.offer()
                await stand.measured("MirrorCopies", number)
            assert all(0 < pair["shadow"]["latency_us"] < PATIENCE * 1e6 for pair in await stand.kept())
            assert not stand.mirror.unread

    run(scene)


def test_what_was_answered_is_counted_before_anybody_reads_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_answers, "WAIT", PATIENCE)

    async def scene(folder: Path) -> None:
        async with Stand(folder, same) as stand:
            stand.offer()
            async with asyncio.timeout(PATIENCE):
                while stand.mirror.in_flight:
                    await asyncio.sleep(0.001)
            assert stand.notes == []
            stand.mirror.settle()
            assert await stand.measured("MirrorAgreement") == [1]

    run(scene)


def test_a_copy_without_an_answer_in_time_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "SPARE", -60.0)  # of a prediction's limit of 60 s
    monkeypatch.setattr(shadow, "TURN", 0.01)

    async def scene(folder: Path) -> None:
        async with Stand(folder, never) as stand:
            stand.offer()
            assert await stand.measured("MirrorCopies") == [0]
            assert stand.mirror.in_flight == 0
            [pair] = await stand.kept()
            assert pair["shadow"]["status"] == 0 and pair["shadow"]["body"] == {"text": "no answer in time"}

    run(scene)


def test_requests_with_the_same_head_have_the_same_copy_and_others_do_not() -> None:
    heads = CopyHeads((b"x-tidegate-fleet", b"e/1/shadow"))
    shared = (CSV, (b"host", b"h:1"), (b"content-length", b"3"), (b"connection", b"close"))
    one = Request(b"POST", b"/a", shared, dict(shared), None, b"1,2", 0, 0, True, True)
    head = heads.make(one)
    assert head == (
        b"POST /a HTTP/1.1\r\nhost: h:1\r\ncontent-length: 3\r\nx-tidegate-fleet: e/1/shadow\r\n"
        b"content-type: text/csv\r\n\r\n"
    )
    assert heads.make(msgspec.structs.replace(one, body=b"3,4")) is head
    assert heads.make(msgspec.structs.replace(one, url=b"/b")) == head.replace(b"/a", b"/b")
    signed = (*shared, (b"authorization", b"AWS4 x"))
    other = msgspec.structs.replace(one, headers=signed, fields=dict(signed))
    assert b"authorization: AWS4 x\r\n" in heads.make(other) and heads.make(other) is not heads.make(other)


def test_large_answers_are_read_and_compared_each_by_itself() -> None:
    async def large() -> bytes:
        return http(200, b"1," * shadow_answers.SMALL, "text/csv", "x-tidegate-took: 321")

    async def scene(folder: Path) -> None:
        async with Stand(folder, large) as stand:
            for number in (1, 2):
                stand.offer(Answer(b"1," * shadow_answers.SMALL, "text/csv"))
                assert not stand.mirror.unread
                assert await stand.measured("MirrorAgreement", number) == [1] * number

    run(scene)


def test_a_copy_that_cannot_be_made_costs_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(heads: CopyHeads, request: Request) -> bytes:
        raise ValueError("no head")

    async def scene(folder: Path) -> None:
        async with Stand(folder, same) as stand:
            with monkeypatch.context() as patch:
                patch.setattr(CopyHeads, "make", fail)
                stand.offer()
            assert stand.mirror.in_flight == 0
            stand.offer()
            assert await stand.measured("MirrorAgreement") == [1]

    run(scene)


# Where copies of requests are sent.


GATEWAY = ShadowCopies(fleet="e/1/shadow", share_file="/s", kept="/k", port=8083)


def test_copy_goes_back_to_where_its_request_came_from() -> None:
    clients = CopyClients(GATEWAY, 10)
    first, second = clients.choose("10.0.0.1"), clients.choose("10.0.0.2")
    assert first is not None and second is not None and first is not second
    assert clients.choose("10.0.0.1") is first
    assert clients.choose("") is None


def test_gateways_that_sent_nothing_for_long_are_forgotten() -> None:
    clients = CopyClients(GATEWAY, 10)
    kept, gone = clients.choose("kept"), clients.choose("gone")
    for number in range(MOST - 1):
        clients.choose(str(number))
        assert clients.choose("kept") is kept
    assert clients.choose("gone") is not gone


def test_proxy_of_the_machine_gets_all_copies() -> None:
    clients = CopyClients(ShadowCopies(fleet="e/1/shadow", share_file="/s", kept="/k", socket="/p"), 10)
    assert clients.choose("10.0.0.1") is clients.choose("") is not None


# When the answers of a shadow are compared.


@pytest.mark.parametrize(
    ("original", "shadow", "waits"), [(9, 9, True), (SMALL + 1, 9, False), (9, SMALL + 1, False)]
)
async def test_a_large_answer_of_either_side_is_compared_by_itself(
    tmp_path: Path, original: int, shadow: int, waits: bool
) -> None:
    """Many in a row would delay the requests of clients."""
    notes: list[Note] = []
    answers = ShadowAnswers(
        lambda at, note: notes.append(note), ShadowLog(tmp_path / "log"), lambda size: None, print
    )
    reply = HttpReply(200, {}, b"1" * shadow)
    answers.add(CopiedRequest(b"", "", ShadowSide(200, 1, b"1" * original), reply, 1, 1))
    assert (not notes) is waits
    answers.settle()
    assert notes
