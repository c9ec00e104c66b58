"""A sample of the texts that a worker answers: chosen without a look at them, measured, and not kept."""

from typing import Any

import msgspec
import pytest

from tidegate.domain.worker_stats import TextRow
from tidegate.serving.contract.invocation import Answer
from tidegate.serving.contract.refusals import read_phrases
from tidegate.serving.front import text_samples
from tidegate.serving.front.compared_counts import ComparedCounts
from tidegate.serving.front.text_samples import MOST_SAMPLES, MOST_STREAMS, SAMPLES, TextSamples
from tidegate.targets.collection.stats_page import read_texts

SECOND = 1_000_000
JSON = "application/json"
HELLO = Answer(b'{"generated_text": "one two three four five six seven eight"}', JSON)


class Rows(list[tuple[int, TextRow]]):
    def take(self, at: int, row: TextRow) -> None:
        self.append((at, row))


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def samples(rows: Rows) -> TextSamples:
    return TextSamples(rows.take, read_phrases({}))


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the time, in microseconds."""
    return lambda at: monkeypatch.setattr(text_samples, "_now", lambda: at)


def test_a_whole_answer_is_measured_when_it_is_asked_for(samples: TextSamples, rows: Rows) -> None:
    samples.offer(9 * SECOND, 5 * SECOND, HELLO)
    assert rows == []
    samples.settle()
    ((at, row),) = rows
    assert at == 9 * SECOND
    assert row == {
        "began": 5 * SECOND,
        "tokens": 9,
        "given": None,
        "first": 4 * SECOND,
        "speed": 2.25,
        "refusal": False,
        "repeated": False,
        "empty": False,
        "phrases": read_phrases({}).key,
    }
    assert b"seven" not in msgspec.json.encode(row)
    found, strange = read_texts([row], 9)
    assert (found[0].tokens, found[0].speed, strange) == (9, 2.25, 0)


def test_numbers_and_compressed_answers_are_no_texts(samples: TextSamples, rows: Rows) -> None:
    samples.offer(1, 0, Answer(b'{"predictions": [1]}', JSON))
    samples.offer(1, 0, Answer(b"\x93NUMPY", "application/x-npy"))
    samples.offer(1, 0, Answer(b"\x1f\x8b..", "text/plain", ((b"Content-Encoding", b"gzip"),)))
    samples.settle()
    assert rows == []


def test_a_stream_has_the_time_of_its_first_text_and_its_speed(
    samples: TextSamples, rows: Rows, moment: Any
) -> None:
    moment(10 * SECOND)
    stream = samples.open(10 * SECOND, "text/event-stream", ())
    assert stream is not None
    stream.read(b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n', 11 * SECOND)
    stream.read(b'data: {"choices": [{"delta": {"content": "one "}}]}\n\n', 12 * SECOND)
    stream.read(b'data: {"choices": [{"delta": {"content": "%b"}}]}\n\n' % (b"more " * 20), 16 * SECOND)
    moment(19 * SECOND)
    stream.end(True)
    ((at, row),) = rows
    assert (at, row["first"], row["speed"]) == (19 * SECOND, 2 * SECOND, 6.25)


def test_a_stream_that_nobody_got_whole_is_not_measured(samples: TextSamples, rows: Rows) -> None:
    for _ in range(MOST_STREAMS + 1):
        stream = samples.open(0, "text/plain", ())
        if stream is not None:
            stream.read(b"half of it", 5)
            stream.end(False)
    assert rows == []
    assert samples.open(0, "application/x-npy", ()) is None


def test_few_streams_are_read_at_a_time(samples: TextSamples, rows: Rows, moment: Any) -> None:
    opened = []
    for second in range(MOST_STREAMS + 9):
        moment(second * SECOND)
        opened.append(samples.open(0, "text/plain", ()))
    assert sum(one is not None for one in opened) == MOST_STREAMS
    assert opened[0] is not None
    opened[0].end(True)
    moment(2 * MOST_STREAMS * SECOND)
    assert samples.open(0, "text/plain", ()) is not None


def test_which_answers_are_sampled_does_not_depend_on_their_length(samples: TextSamples, rows: Rows) -> None:
    long = Answer(b'{"generated_text": "%b"}' % (b"word " * 10_000), JSON)
    for second in range(3):
        for number in range(200):
            samples.offer(second * SECOND + number, 0, long if number % 3 else HELLO)
    samples.settle()
    for second in range(3):
        taken = [row for at, row in rows if at // SECOND == second]
        assert SAMPLES <= len(taken) <= MOST_SAMPLES
        assert 0.4 < sum(row["tokens"] > 9_999 for row in taken) / len(taken) < 0.9


def test_of_a_session_only_the_first_text_is_sampled(samples: TextSamples, rows: Rows) -> None:
    counts = ComparedCounts(lambda at, note: None, samples)
    for session in (b"NEW_SESSION", b"a", b"a", b"b", None):
        if session is not None:
            counts.count_session(1, session, False)
        counts.offer(1, HELLO, 0, session)
    counts.settle()
    assert len(rows) == 4


def test_a_fault_of_the_reader_costs_no_answer_and_no_count(
    samples: TextSamples, rows: Rows, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: object, part: bytes) -> None:
        raise RuntimeError("a fault")

    stream = samples.open(0, "text/plain", ())
    assert stream is not None
    stream.read(b"the beginning ", 1)
    monkeypatch.setattr("tidegate.serving.formats.text_answers.TextReader.feed", broken)
    stream.read(b"the middle ", 2)
    samples.offer(1, 0, HELLO)
    samples.settle()
    monkeypatch.undo()
    stream.read(b"the end", 3)
    stream.end(True)
    samples.offer(2, 0, HELLO)
    samples.settle()
    assert [at for at, _ in rows] == [2]
    assert capsys.readouterr().out.count("text cannot be measured: RuntimeError") == 2


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": -1},
        {"tokens": 1.5},
        {"first": -1},
        {"speed": float("nan")},
        {"speed": float("inf")},
        {"speed": -1.0},
        {"began": 10**18},
        {"began": -(10**18)},
        {"refusal": 1},
        {"phrases": 2**40},
        {"given": "7"},
    ],
)
def test_rows_that_are_no_measures_are_left_out_alone(samples: TextSamples, rows: Rows, change: Any) -> None:
    samples.offer(9 * SECOND, 5 * SECOND, HELLO)
    samples.settle()
    good = rows[0][1]
    found, strange = read_texts([good, {**good, **change}, 7, {}], 9)
    assert (len(found), strange) == (1, 3)
    assert read_texts("rows", 9) == ((), 1)
