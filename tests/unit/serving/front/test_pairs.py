"""Copies for another version: which requests are copied, what is made of the answers, and what bounds it."""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from tests.proxy_harness import read_message
from tidegate.domain.worker_stats import LONGEST_JUDGED, PairRow
from tidegate.serving.contract.invocation import Answer, Call, Done, ModelEngine, ModelFailed, Rejected
from tidegate.serving.contract.pair_order import PairOrder
from tidegate.serving.contract.replica_spec import PairingFiles
from tidegate.serving.engines.pipeline import Pipeline, PipelineStage
from tidegate.serving.front.connection import Request
from tidegate.serving.front.pairs import (
    MOST_COPIES,
    PER_SECOND,
    REPEATS_PER_SECOND,
    Pace,
    PairSender,
    read_judged,
    request_key,
)

CSV = (b"content-type", b"text/csv")
JSON = (b"content-type", b"application/json")
GOOD = Answer(b"0.5", "text/csv")
ORDER = PairOrder("e/2/main", ("country", "0"), features=False)


def http(status: int, document: object) -> bytes:
    body = json.dumps(document).encode()
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def said(prediction: float | None, failed: bool = False, stages: object = ()) -> bytes:
    return http(200, {"prediction": prediction, "failed": failed, "stages": list(stages)})  # type: ignore[call-overload]


def said_numbers(rows: int, *numbers: tuple[int, int, float | None]) -> bytes:
    first = numbers[0][2] if numbers else None
    document = {"prediction": first, "failed": False, "stages": [], "rows": rows, "numbers": list(numbers)}
    return http(200, document)


def request(body: bytes = b"1,2", *headers: tuple[bytes, bytes]) -> Request:
    given = [*(headers or (CSV,))]
    return Request(b"POST", b"/endpoints/e/invocations", given, dict(given), None, body, 0, 0, True, True)


@dataclass
class Stand:
    """A sender, and in the proxy's place a socket that answers what the test says."""

    folder: Path
    sender: PairSender
    rows: list[PairRow] = field(default_factory=list)
    seen: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def offered(
        self, count: int = 1, outcome: Answer | ModelFailed | Rejected = GOOD, asked: Request | None = None
    ) -> None:
        for number in range(count):
            self.sender.offer(asked or request(b"%d,2" % number), outcome)
        async with asyncio.timeout(300):
            while self.sender.in_flight:
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def stand(
    reply: Callable[[], bytes | None],
    order: PairOrder | None = ORDER,
    engine: ModelEngine | None = None,
    in_hand: int = 0,
) -> AsyncIterator[Stand]:
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        folder, tasks = Path(name), list[asyncio.Task[None]]()
        rows, seen = list[PairRow](), list[tuple[bytes, bytes]]()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while (message := await read_message(reader)) is not None:
                    seen.append(message)
                    if (answer := reply()) is None:
                        break
                    writer.write(answer)
            finally:
                writer.close()

        def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(asyncio.create_task(serve(reader, writer)))

        if order is not None:
            (folder / "pairs.json").write_bytes(msgspec.json.encode(order))
        server = await asyncio.start_unix_server(client, folder / "s")
        files = PairingFiles(socket=str(folder / "s"), order_file=str(folder / "pairs.json"))
        sender = PairSender(files, 1.0, lambda: engine, lambda: in_hand, lambda at, row: rows.append(row))
        sender.look()
        try:
            yield Stand(folder, sender, rows, seen)
        finally:
            sender.close()
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_pair_has_both_predictions_its_slices_and_the_fleet() -> None:
    async with stand(lambda: said(0.7)) as found:
        body = b'{"instances": [{"country": "IN", "amount": 3}]}'
        await found.offered(asked=request(body, JSON, (b"authorization", b"secret"), (b"x-own", b"1")))
    (row,) = found.rows
    assert (row["with"], row["old"], row["new"], row["failed"]) == ("e/2/main", 0.5, 0.7, False)
    assert row["slices"] == [("country", "IN")]
    ((head, sent),) = found.seen
    assert sent == body
    assert head.startswith(b"POST /_tidegate/pair HTTP/1.1")
    assert b"x-tidegate-fleet: e/2/main" in head and b"x-own: 1" in head
    assert b"secret" not in head


@pytest.mark.parametrize(
    ("kind", "body", "column"),
    [
        (b"application/json", json.dumps([{"country": one} for one in ("IN", "US", "IN")]).encode(), "country"),
        (
            b"application/json",
            b'{"columns": ["n", "country"], "data": [[1, "IN"], [2, "US"], [3, "IN"]]}',
            "country",
        ),
        (b"application/jsonlines", b'{"country": "IN"}\n{"country": "US"}\n{"country": "IN"}', "country"),
        (b"text/csv", b"1,IN\n2,US\n3,IN\n", "1"),
        (b"text/csv", b"amount,country\n1,IN\n2,US\n3,IN\n", "1"),
    ],
)
async def test_each_row_of_a_request_has_its_slices(kind: bytes, body: bytes, column: str) -> None:
    asked = request(body, (b"content-type", kind))
    numbers = said_numbers(3, (0, 0, 1.0), (1, 0, 2.0), (2, 0, 9.0))
    async with stand(lambda: numbers, PairOrder("e/2/main", slices=(column,))) as found:
        await found.offered(outcome=Answer(b"1\n2\n3", "text/csv"), asked=asked)
    (row,) = found.rows
    assert row["row_slices"] == [[(column, "IN")], [(column, "US")], [(column, "IN")]]
    assert row["slices"] == [(column, "IN")] and len(row["rows"]) == 3


async def test_rows_of_one_slice_are_all_said_to_be_of_it() -> None:
    asked = request(b'[{"country": "IN"}, {"country": "IN"}]', (b"content-type", b"application/json"))
    async with stand(lambda: said_numbers(2, (1, 0, 9.0)), PairOrder("e/2/main", slices=("country",))) as found:
        await found.offered(outcome=Answer(b"1\n2", "text/csv"), asked=asked)
    (row,) = found.rows
    assert row["row_slices"] == [[("country", "IN")]] * 2 and len(row["rows"]) == 2


@pytest.mark.parametrize("answered", [20, 49])
async def test_an_answer_of_other_rows_than_the_request_has_the_slices_of_the_first_row_alone(
    answered: int,
) -> None:
    """Eight rows are chosen of each, and they are not the same ones."""
    body = json.dumps([{"place": place} for place in range(50)]).encode()
    asked = request(body, (b"content-type", b"application/json"))
    text = "\n".join(map(str, range(answered))).encode()
    async with stand(lambda: said_numbers(answered), PairOrder("e/2/main", slices=("place",))) as found:
        await found.offered(outcome=Answer(text, "text/csv"), asked=asked)
    (row,) = found.rows
    assert len(row["rows"]) == 8 and row["slices"] == [("place", "0")] and "row_slices" not in row


async def test_of_a_large_request_the_rows_with_slices_are_those_whose_answers_are_compared() -> None:
    body = json.dumps([{"place": place} for place in range(50)]).encode()
    asked = request(body, (b"content-type", b"application/json"))
    text = "\n".join(map(str, range(50))).encode()
    async with stand(lambda: said_numbers(50), PairOrder("e/2/main", slices=("place",))) as found:
        await found.offered(outcome=Answer(text, "text/csv"), asked=asked)
    (row,) = found.rows
    assert [[("place", f"{old:g}")] for ((_, old, _),) in row["rows"]] == row["row_slices"]


async def test_equal_requests_have_equal_keys() -> None:
    async with stand(lambda: said(0.7)) as found:
        await found.offered(asked=request(b"1,2"))
        await found.offered(asked=request(b"1,2"))
        await found.offered(asked=request(b"1,3"))
    keys = [row["key"] for row in found.rows]
    assert keys[0] == keys[1] != keys[2]


async def test_without_an_order_nothing_is_copied_and_one_that_comes_or_goes_is_noticed() -> None:
    async with stand(lambda: said(0.7), order=None) as found:
        assert not found.sender.active
        await found.offered()
        (found.folder / "pairs.json").write_bytes(msgspec.json.encode(ORDER))
        found.sender.look()
        assert found.sender.active
        await found.offered()
        (found.folder / "pairs.json").unlink()
        found.sender.look()
        await found.offered()
        (found.folder / "pairs.json").write_bytes(b"{")
        found.sender.look()
        assert not found.sender.active
    assert len(found.rows) == 1


async def test_a_copy_without_a_usable_answer_is_a_pair_without_a_prediction() -> None:
    for reply in (lambda: http(500, {}), lambda: http(200, [1]), lambda: None, lambda: said(None)):
        async with stand(reply) as found:
            await found.offered()
        assert [(row["new"], row["failed"]) for row in found.rows] == [(None, False)]


async def test_a_model_that_fails_the_copy_is_said() -> None:
    async with stand(lambda: said(None, failed=True)) as found:
        await found.offered()
    assert [row["failed"] for row in found.rows] == [True]


async def test_a_copy_that_found_no_room_is_no_pair() -> None:
    for status in (429, 503):
        async with stand(lambda status=status: http(status, {})) as found:  # type: ignore[misc]
            await found.offered()
        assert found.rows == []


async def test_a_request_that_the_old_version_failed_is_copied_and_noted_as_such() -> None:
    """Else only what the new version fails would be known, and equal versions that fail now and then would differ."""
    async with stand(lambda: said(0.7)) as found:
        await found.offered(outcome=ModelFailed(500, "no"))
    (row,) = found.rows
    assert (row["old"], row["old_failed"], row["new"], row["failed"]) == (None, True, 0.7, False)


async def test_a_request_that_the_platform_refused_is_not_copied() -> None:
    async with stand(lambda: said(0.7)) as found:
        await found.offered(outcome=Rejected(429, "ThrottlingException", "too many"))
    assert found.rows == []


async def test_copies_in_flight_are_bounded() -> None:
    async with stand(lambda: said(0.7)) as found:
        await found.offered(count=MOST_COPIES * 3)
    assert len(found.rows) == MOST_COPIES


class _Doubled:
    """A stage that answers the numbers of a row, doubled."""

    healthy = True

    def submit(self, call: Call, done: Done) -> None:
        values = [float(one) * 2 for one in call.body.split(b",")]
        done(Answer(",".join(map(str, values)).encode(), "text/csv"))

    async def close(self) -> None: ...


async def test_the_outputs_of_the_stages_of_both_versions_go_with_some_pairs() -> None:
    pipeline = Pipeline(
        [PipelineStage("prepare", _Doubled(), b"text/csv"), PipelineStage("model", _Doubled())], 1000, 5.0
    )
    stages = [{"stage": "prepare", "names": ["0", "1"], "values": [2.0, None]}]
    order = PairOrder("e/2/main", features=True)
    async with stand(lambda: said(0.7, stages=stages), order, pipeline) as found:
        await found.offered(count=6)
    traced = [row for row in found.rows if row["traced"]]
    assert len(traced) == 4
    assert traced[1]["stages"] == [
        {"stage": "prepare", "names": ["0", "1"], "old": [2.0, 4.0], "new_names": ["0", "1"], "new": [2.0, None]}
    ]
    assert sum(b"?traced=1 " in head for head, _ in found.seen) == 4


@pytest.mark.parametrize(
    ("column", "value", "kept"),
    [
        ("country", "jane@example.com", "[email]"),
        ("country", "123-45-6789", "[ssn]"),
        ("country", "Human Resources", "Human Resources"),
        ("employee_name", "jane", "[name]"),
        ("ssn", 123456789, "[ssn]"),
    ],
)
async def test_identities_in_slices_are_masked_before_they_are_kept(column: str, value: object, kept: str) -> None:
    async with stand(lambda: said(0.7), PairOrder("e/2/main", slices=(column,))) as found:
        await found.offered(asked=request(json.dumps({column: value}).encode(), JSON))
    (row,) = found.rows
    assert row["slices"] == [(column, kept)]


async def test_a_slice_of_text_without_an_encoding_can_be_written() -> None:
    async with stand(lambda: said(0.7)) as found:
        await found.offered(asked=request(rb'{"country": "\ud800"}', JSON))
    (row,) = found.rows
    assert row["slices"] == [("country", "?")]
    assert msgspec.json.decode(msgspec.json.encode(row))["slices"] == [["country", "?"]]


async def test_stages_are_not_run_again_while_a_client_waits() -> None:
    pipeline = Pipeline(
        [PipelineStage("prepare", _Doubled(), b"text/csv"), PipelineStage("model", _Doubled())], 1000, 5.0
    )
    async with stand(lambda: said(0.7), PairOrder("e/2/main", features=True), pipeline, in_hand=1) as found:
        await found.offered(count=6)
    assert len(found.rows) == 6
    assert not any(row["traced"] for row in found.rows)


def test_the_pace_follows_what_the_other_version_has_room_for() -> None:
    pace = Pace()
    assert [pace.take(1_000) for _ in range(3 * PER_SECOND)].count(True) == 2 * PER_SECOND
    for _ in range(18):
        pace.turned_away += 1
    pace.answered = 2
    taken = sum(pace.take(1_001) for _ in range(100))
    assert taken <= 2 * 2
    for second in range(1_002, 1_050):
        pace.answered = 5
        taken = sum(pace.take(second) for _ in range(100))
    assert PER_SECOND <= taken <= 2 * PER_SECOND, "nothing was turned away for long"


async def test_a_worker_without_room_is_asked_less() -> None:
    async with stand(lambda: http(429, {})) as found:
        await found.offered(count=4)
        assert found.sender.pace.turned_away == 4
    assert found.rows == []


TWO_ROWS = request(b'{"instances": [[1], [2]]}', JSON)
TWO_BY_TWO = Answer(b'{"predictions": [[1, 2], [3, 4]]}', "application/json")


@pytest.mark.parametrize(
    ("numbers", "old", "new", "rows"),
    [
        ((2, (0, 0, 5.0), (0, 1, 6.0), (1, 0, 7.0), (1, 1, 8.0)), 1.0, 5.0, [[5.0, 6.0], [7.0, 8.0]]),
        ((2, (0, 0, 5.0), (0, 1, 6.0), (1, 0, 7.0), (1, 1, None)), 1.0, None, [[5.0, 6.0], [7.0, None]]),
        ((2, (0, 0, 5.0), (1, 0, 7.0)), 1.0, None, [[5.0, None], [7.0, None]]),
        ((1, (0, 0, 5.0), (0, 1, 6.0)), 1.0, None, [[None, None], [None, None]]),
        ((2, (0, 0, 5.0), (0, 1, 6.0), (0, 2, 6.5), (1, 0, 7.0), (1, 1, 8.0)), 1.0, 5.0, [[5.0, 6.0], [7.0, 8.0]]),
        ((0,), 1.0, None, [[None, None], [None, None]]),
    ],
)  # fmt: skip
async def test_all_rows_and_outputs_are_paired_and_what_the_new_version_lacks_is_missing(
    numbers: tuple[int, *tuple[tuple[int, int, float | None], ...]],
    old: float,
    new: float | None,
    rows: list[list[float | None]],
) -> None:
    count, *given = numbers
    async with stand(lambda: said_numbers(count, *given)) as found:
        await found.offered(outcome=TWO_BY_TWO, asked=TWO_ROWS)
    (row,) = found.rows
    assert (row["old"], row["new"]) == (old, new)
    assert [[value for _, _, value in one] for one in row["rows"]] == rows
    assert [[value for _, value, _ in one] for one in row["rows"]] == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("asked", "rows", "old", "new"),
    [
        (b'{"instances": [[1], [2], [3]]}', 3, None, 5.0),
        (b'{"instances": [[1], [2]]}', 3, 1.0, None),
        (b'{"instances": [[1], [2]]}', 1, 1.0, None),
        (b'{"instances": [[1], [2], [3], [4], [5], [6], [7]]}', 5, None, 5.0),
        (b'{"instances": [[1], [2], [3], [4], [5], [6], [7]]}', 1, 1.0, None),
        (b'{"instances": [[1], [2]]}', 0, 1.0, None),
    ],
)
async def test_of_other_numbers_of_rows_the_version_that_does_not_answer_the_request_has_no_prediction(
    asked: bytes, rows: int, old: float | None, new: float | None
) -> None:
    """The old version answered two rows. Each version is treated alike, so answers cut short now and then are no
    difference."""
    numbers = [(row, 0, 5.0 + row) for row in range(rows)]
    async with stand(lambda: said_numbers(rows, *numbers)) as found:
        await found.offered(
            outcome=Answer(b'{"predictions": [1, 2]}', "application/json"), asked=request(asked, JSON)
        )
    (row,) = found.rows
    assert (row["old"], row["new"]) == (old, new)


async def test_a_request_that_the_old_version_failed_is_one_that_is_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000.5)
    async with stand(lambda: said(None, failed=True)) as found:
        for _ in range(30):
            await found.offered(outcome=ModelFailed(500, "no"))
    assert len(found.rows) == 1 + REPEATS_PER_SECOND


async def test_a_worker_of_an_earlier_version_gives_the_first_number() -> None:
    async with stand(lambda: said(7.5)) as found:
        await found.offered(outcome=TWO_BY_TWO, asked=TWO_ROWS)
    (row,) = found.rows
    assert (row["old"], row["new"], row["rows"]) == (1.0, 7.5, [[(0, 1.0, 7.5)]])


async def test_an_answer_that_is_a_little_too_large_is_compared_by_its_first_number() -> None:
    """Else equal versions would differ whose answers are now a little smaller, now a little larger than the bound."""
    async with stand(lambda: said_numbers(0, (0, 0, 5.0))) as found:
        await found.offered(outcome=TWO_BY_TWO, asked=TWO_ROWS)
    (row,) = found.rows
    assert (row["old"], row["new"], row["rows"]) == (1.0, 5.0, [[(0, 1.0, 5.0)]])


async def test_a_repeated_request_does_not_take_the_place_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends one request all the time leaves room for those of others; few of its copies go on."""
    monkeypatch.setattr("tidegate.serving.front.pairs.MOST_COPIES", 1000)
    monkeypatch.setattr("tidegate.serving.front.pairs.time.time", lambda: 1_000.0)
    async with stand(lambda: said(0.7)) as found:
        await found.offered(asked=request(b"9,9"))
        for number in range(500):
            found.sender.offer(request(b"9,9"), GOOD)
            if number % 50 == 0:
                found.sender.offer(request(b"%d,1" % number), GOOD)
        await found.offered(0)
    assert len({row["key"] for row in found.rows}) == 11
    assert len(found.rows) == 11 + REPEATS_PER_SECOND


async def test_a_request_that_found_no_room_is_copied_when_it_comes_again() -> None:
    status = [429, 200]
    async with stand(lambda: http(status.pop(0), {"prediction": 0.5, "failed": False, "stages": []})) as found:
        await found.offered(asked=request(b"1,2"))
        assert request_key(request(b"1,2")) not in found.sender._known
        await found.offered(asked=request(b"1,2"))
    assert len(found.rows) == 1


def test_a_key_says_what_is_asked_of_which_model_and_in_which_form() -> None:
    keys = {
        request_key(request(b"1,2", *headers))
        for headers in (
            (CSV,),
            (JSON,),
            (CSV, (b"x-amzn-sagemaker-target-model", b"b")),
            (CSV, (b"accept", JSON[1])),
        )
    }
    assert len(keys) == 4
    assert request_key(request(b"1,2", CSV, (b"x-request-id", b"7"))) in keys


TEXT = Answer(b'{"choices": [{"message": {"content": "Hello"}}]}', "application/json")


@pytest.mark.parametrize("redacts", [False, True])
async def test_a_text_that_a_judge_compares_goes_with_one_new_request_a_second(
    redacts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A judge is shown what a capture may show, where requests are captured."""
    monkeypatch.setattr(time, "time", lambda: 100.5)
    reply = http(200, {"prediction": None, "failed": False, "stages": [], "text": "Good day"})
    async with stand(lambda: reply, PairOrder("e/2/main", texts=True)) as found:
        found.sender = PairSender(
            PairingFiles(socket=str(found.folder / "s"), order_file=str(found.folder / "pairs.json")),
            1.0,
            lambda: None,
            lambda: 0,
            lambda at, row: found.rows.append(row),
            show=lambda request: "[redacted]",
            clean=(lambda text: text.replace("day", "[redacted]")) if redacts else str,
            redacts=redacts,
        )
        found.sender.look()
        await found.offered(5, TEXT)
        found.sender.close()
    heads = [head.split(b" ")[1] for head, _ in found.seen]
    assert sorted(heads) == [b"/_tidegate/pair"] * 4 + [b"/_tidegate/pair?text=1"]
    (texts,) = [row["texts"] for row in found.rows if "texts" in row]
    hidden = "[redacted]"
    assert texts == ((hidden, "Hello", f"Good {hidden}") if redacts else ("0,2", "Hello", "Good day"))


@pytest.mark.parametrize("dropped", ["Hello", "Good day"])
async def test_answers_of_which_redaction_leaves_nothing_are_no_equal_answers(dropped: str) -> None:
    reply = http(200, {"prediction": None, "failed": False, "stages": [], "text": "Good day"})
    async with stand(lambda: reply, PairOrder("e/2/main", texts=True)) as found:
        found.sender._clean = lambda text: text.replace(dropped, "")
        await found.offered(1, TEXT)
    assert [row for row in found.rows if "texts" in row] == []


async def test_an_answer_is_redacted_before_it_is_cut() -> None:
    before, personal = "a" * (LONGEST_JUDGED - 6), "jane@example.com"
    whole = Answer(f"{before} {personal} {'b' * LONGEST_JUDGED}".encode(), "text/plain")
    reply = http(200, {"prediction": None, "failed": False, "stages": [], "text": read_judged(whole)})
    async with stand(lambda: reply, PairOrder("e/2/main", texts=True)) as found:
        found.sender._clean = lambda text: text.replace(personal, "[email]")
        await found.offered(1, whole)
    (texts,) = [row["texts"] for row in found.rows if "texts" in row]
    assert texts[1] == texts[2] and "jane" not in texts[1]
    assert LONGEST_JUDGED - len(personal) < len(texts[1]) <= LONGEST_JUDGED


async def test_a_request_that_may_not_be_shown_is_not_judged() -> None:
    reply = http(200, {"prediction": None, "failed": False, "stages": [], "text": "Good day"})
    async with stand(lambda: reply, PairOrder("e/2/main", texts=True)) as found:
        found.sender._tell = lambda request: ""
        await found.offered(1, TEXT)
    assert [row for row in found.rows if "texts" in row] == []
