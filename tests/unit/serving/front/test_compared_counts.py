"""What a worker counts for comparisons: a bounded sample of predictions, and sessions that come again."""

import pytest

from tidegate.serving.contract.invocation import Answer, Note
from tidegate.serving.contract.refusals import read_phrases
from tidegate.serving.front.compared_counts import (
    LONGEST,
    MOST_SAMPLES,
    MOST_SESSIONS,
    SAMPLES,
    SETTLE_AT,
    ComparedCounts,
    read_prediction,
)
from tidegate.serving.front.text_samples import TextSamples

SECOND = 1_000_000


class Notes(list[tuple[int, Note]]):
    def take(self, at: int, note: Note) -> None:
        self.append((at, note))

    def values(self, name: str) -> list[float]:
        return [note.value for _, note in self if note.name == name]


def counts_into(notes: Notes) -> ComparedCounts:
    return ComparedCounts(notes.take, TextSamples(lambda at, text: None, read_phrases({})))


def answer(body: bytes = b"0.5", kind: str = "text/csv") -> Answer:
    return Answer(body, kind)


@pytest.mark.parametrize(
    ("body", "kind", "value"),
    [
        (b"0.25", "text/csv", 0.25),
        (b"0.25,0.75\n0.1,0.9", "text/csv; charset=utf-8", 0.25),
        (b'{"predictions": [[-1.5e-3, 2]]}', "application/json", -0.0015),
        (b'{"predictions": [{"label 7": "8", "score": 3}]}', "application/json", 3.0),
        (b'{"quoted \\" 5": 6}', "application/json", 6.0),
        (b"[0]", "application/json", 0.0),
        (b"[true]", "application/json", 1.0),
        (b'{"p": 4}\n{"p": 5}', "application/jsonlines", 4.0),
        (b"[null, 1]", "application/json", None),
        (b"[NaN, 1]", "application/json", None),
        (b"nan,1", "text/csv", None),
        (b"-inf,1", "text/csv", None),
        (b"1e999", "text/csv", None),
        (b'{"text": "42"}', "application/json", None),
        (b"", "application/json", None),
        (b"\x93NUMPY 1", "application/x-npy", None),
        (b"12", "text/plain", None),
        (
            b'{"outputs": [{"name": "y", "shape": [4, 1], "datatype": "FP64", "data": [0.5]}]}',
            "application/json",
            0.5,
        ),
    ],
)
def test_a_prediction_is_the_first_finite_number(body: bytes, kind: str, value: float | None) -> None:
    assert read_prediction(body, False, kind) == value


def test_a_number_that_may_go_on_is_none() -> None:
    assert read_prediction(b"[0.123", True, "application/json") is None
    assert read_prediction(b"[0.5, 0.123", True, "application/json") == 0.5


def test_predictions_are_counted_when_they_are_asked_for() -> None:
    notes = Notes()
    counts = counts_into(notes)
    for body in (b"0.5", b"-2", b"x", b"0"):
        counts.offer(7 * SECOND + 5, answer(body))
    assert notes == []
    counts.settle()
    assert notes.values("Prediction") == [0.5, 0]
    assert notes.values("NegativePrediction") == [2]
    assert notes.values("UnusablePrediction") == [1]
    assert {at for at, _ in notes} == {7 * SECOND + 5}
    counts.settle()
    assert len(notes) == 4, "each is counted once"


def test_of_many_answers_a_spread_sample_is_read() -> None:
    notes = Notes()
    counts = counts_into(notes)
    for second in range(3):
        for number in range(1000):
            counts.offer(second * SECOND + number * 1000, answer())
    counts.settle()
    per_second = [sum(at // SECOND == second for at, _ in notes) for second in range(3)]
    assert per_second == [MOST_SAMPLES, SAMPLES, SAMPLES]
    last = [at % SECOND for at, _ in notes if at // SECOND == 2]
    assert max(last) > 0.9 * SECOND, "spread over the second"


def test_few_answers_are_all_read_and_a_large_one_is_not_kept() -> None:
    notes = Notes()
    counts = counts_into(notes)
    for second in range(5):
        for number in range(SAMPLES):
            counts.offer(second * SECOND + number, answer(b"1," * LONGEST))
    assert len(notes) >= SETTLE_AT, "they are read before too many are kept"
    counts.settle()
    assert notes.values("Prediction") == [1.0] * 5 * SAMPLES


def test_only_the_first_request_of_a_session_is_no_repeat() -> None:
    notes = Notes()
    counts = counts_into(notes)
    for session, failed in ((b"a", True), (b"a", True), (b"b", False), (b"a", False)):
        counts.count_session(SECOND, session, failed)
    for _ in range(2):
        counts.count_session(SECOND, b"NEW_SESSION", False)
    assert notes.values("SessionRepeat") == [1, 0]


def test_of_a_session_only_the_first_prediction_is_sampled() -> None:
    notes = Notes()
    counts = counts_into(notes)
    for number, session in enumerate((b"a", b"a", b"b", None, None)):
        if session is not None:
            counts.count_session(SECOND, session, False)
        counts.offer(SECOND, answer(b"%d" % number), session=session)
    counts.settle()
    assert notes.values("Prediction") == [0.0, 2.0, 3.0, 4.0]


def test_what_a_client_repeats_is_noted_with_its_latency() -> None:
    notes = Notes()
    counts = counts_into(notes)
    for failed, latency in ((True, 900), (False, 1_200)):
        counts.count_repeat(SECOND, failed, latency)
    assert (notes.values("ClientRepeat"), notes.values("RepeatedLatency")) == ([1, 0], [900, 1_200])


def test_sessions_are_remembered_up_to_a_limit() -> None:
    notes = Notes()
    counts = counts_into(notes)
    for number in range(MOST_SESSIONS + 1):
        counts.count_session(SECOND, b"%d" % number, False)
    assert notes == []
    counts.count_session(SECOND, b"1", False)
    assert len(notes) == 1
    counts.count_session(SECOND, b"0", False)
    assert len(notes) == 1, "the oldest one was forgotten"
