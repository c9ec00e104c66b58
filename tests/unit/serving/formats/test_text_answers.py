"""The text in an answer, wherever models put it; and what of it is measured."""

import json
from typing import Any

import pytest

from tidegate.domain.errors import Invalid
from tidegate.serving.contract.environment import check_environment
from tidegate.serving.contract.refusals import VARIABLE, read_phrases
from tidegate.serving.formats.text_answers import LONGEST, LONGEST_LINE, MOST_LINES, TextReader, kind_of

USUAL = read_phrases({})
JSON, SSE = "application/json", "text/event-stream"


def read(body: bytes, kind: str = JSON) -> TextReader | None:
    """None: it is no text."""
    reader = TextReader(kind, lambda: None)
    reader.feed(body)
    return reader if reader.finish() else None


def text(document: Any) -> TextReader:
    found = read(json.dumps(document).encode())
    assert found is not None
    return found


def events(*documents: Any) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in documents) + b"data: [DONE]\n\n"


def delta(text: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text} if text is not None else {}, **more}]}


@pytest.mark.parametrize(
    "document",
    [
        "one two three",
        {"generated_text": "one two three"},
        [{"generated_text": "one two three"}, {"generated_text": "no"}],
        {"choices": [{"message": {"role": "assistant", "content": "one two three"}}]},
        {"choices": [{"text": "one two three", "index": 0}, {"text": "no", "index": 1}]},
        {"content": [{"type": "text", "text": "one two"}, {"type": "text", "text": " three"}]},
        {"outputs": ["one two three"]},
        {"outputs": [{"generated_text": "one two three"}]},
        {"output": {"message": {"content": [{"text": "one two three"}]}}},
        {"content": [{"type": "thinking", "thinking": "so"}, {"type": "text", "text": "one two three"}]},
        {"choices": [{"message": {"content": "one two three", "refusal": ""}}]},
        {"completion": "one two three"},
        {"response": "one two three", "done": True},
    ],
)
def test_the_usual_forms_of_an_answer_are_read(document: Any) -> None:
    found = text(document)
    assert (found.measures.tokens, found.measures.empty) == (3, False)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"predictions": [0.5]}', JSON),
        (b'{"predictions": ["spam"]}', JSON),
        (b'{"outputs": [[0.1, 0.2]]}', JSON),
        (b"[0.1, 0.2]", JSON),
        (b"0.5", JSON),
        (b"not json", JSON),
        (b"", JSON),
        (b'{"choices": [{"message": {"content": null, "tool_calls": [{"id": "1"}]}}]}', JSON),
        (b"0.25\n0.5\n", "text/plain"),
        (b"\n" * 50, "application/jsonlines"),
        (b": keep alive\n\n", SSE),
        (b'{"generated_text": "%b"}' % (b"x" * LONGEST), JSON),
        (b"data: " + b"x" * (LONGEST_LINE + 1), SSE),
        (b"data: text\n\n" * MOST_LINES, SSE),
        (b'{"text": "x"}' + b" " * LONGEST + b"\n", "application/jsonlines"),
        (b'{"text": "x"}\n{}' + b"\n" * MOST_LINES, JSON),
    ],
)
def test_what_is_no_text_is_not_measured(body: bytes, kind: str) -> None:
    assert read(body, kind) is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "text/plain"),
        (b" \n\t", "text/plain"),
        ("\u200b\ufeff".encode(), "text/plain"),
        (b'{"generated_text": ""}', JSON),
        (b'{"generated_text": null}', JSON),
        (b'{"choices": []}', JSON),
        (b'{"choices": [{"message": {"content": null}}]}', JSON),
        (events(delta(""), delta(finish_reason="stop")), SSE),
    ],
)
def test_a_text_that_says_nothing_is_empty(body: bytes, kind: str) -> None:
    found = read(body, kind)
    assert found is not None
    assert found.measures.empty


@pytest.mark.parametrize(
    "body",
    [
        events(delta("one "), delta("two"), delta(" three"), delta(finish_reason="stop")),
        events({"token": {"text": "one two"}}, {"token": {"text": " three"}, "generated_text": "one two three"}),
        events({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "one two three"}}),
        events(
            {"type": "response.output_text.delta", "delta": "one two three"},
            {"type": "response.output_text.done", "text": "one two three"},
            {"type": "response.completed", "response": {"output": [{"content": [{"text": "one two three"}]}]}},
        ),
        events({"outputs": ["one two"]}, {"outputs": [" three"]}),
        b"data: one two three\r\n\r\n",
    ],
)
def test_each_piece_of_a_stream_counts_once(body: bytes) -> None:
    found = read(body, SSE)
    assert found is not None
    assert found.measures.tokens == 3


def test_lines_of_json_are_read_whatever_their_type_is_called() -> None:
    lines = b'{"outputs": ["one two"]}\n{"outputs": [" three"]}\n'
    for kind in (JSON, "application/jsonlines"):
        found = read(lines, kind)
        assert found is not None and found.measures.tokens == 3


def test_tokens_are_words_or_a_quarter_of_the_bytes_and_those_that_an_answer_states_stand_beside() -> None:
    assert text("a b c d e f").measures.tokens == 6
    assert text("incomprehensibilities").measures.tokens == 5
    assert text("東京は日本の首都です").measures.tokens == 7
    assert text({"generated_text": "a b"}).given is None
    assert text({"generated_text": "a b", "usage": {"completion_tokens": 7}}).given == 7
    assert text([{"generated_text": "a b", "details": {"generated_tokens": 8}}]).given == 8
    found = read(events(delta("a"), {"choices": [], "usage": {"completion_tokens": 9}}), SSE)
    assert found is not None and found.given == 9
    two = {"choices": [{"text": "a"}, {"text": "b"}], "usage": {"completion_tokens": 9}}
    assert text(two).given is None, "they are those of both"
    for wrong in (-1, True, "7", 10**12, None):
        assert text({"generated_text": "a b", "usage": {"completion_tokens": wrong}}).given is None


@pytest.mark.parametrize(
    ("said", "refuses"),
    [
        ("I'm sorry, but I can't assist with that.", True),
        ("I\u2019m sorry, but I can\u2019t\n  ASSIST with that.", True),
        ("\uff29 \uff43\uff41\uff4e\uff4e\uff4f\uff54 \uff48\uff45\uff4c\uff50 with that", True),
        ("I can\u200bnot pro\u00advide that.", True),
        ("The capital of France is Paris.", False),
        ("Paris. " * 100 + "I cannot assist", False),
    ],
)
def test_a_refusal_is_found_where_an_answer_begins_however_it_is_written(said: str, refuses: bool) -> None:
    assert text({"generated_text": said}).measures.refuses(USUAL) is refuses


def test_an_answer_may_say_itself_that_it_refuses() -> None:
    assert text({"choices": [{"message": {"content": None, "refusal": "No."}}]}).refused
    assert text({"choices": [{"text": "", "finish_reason": "content_filter"}]}).refused
    assert not text({"choices": [{"message": {"content": "Yes.", "refusal": None}}]}).refused


@pytest.mark.parametrize(
    ("said", "repeats"),
    [
        ("the same thing again " * 20, True),
        ("A good beginning that says a thing or two. " + "and so on " * 400, True),
        ("東京は日本の首都です" * 10, True),
        (" ".join(f"word{place}" for place in range(200)), False),
        ("- yes\n- no\n- yes\n", False),
        ("no no no", False),
    ],
)
def test_a_text_that_repeats_itself_is_found(said: str, repeats: bool) -> None:
    assert text({"generated_text": said}).measures.repeated is repeats


def test_a_model_may_have_phrases_of_its_own() -> None:
    mine = read_phrases({VARIABLE: '["Das kann ich NICHT", "das kann ich  nicht"]'})
    assert mine.phrases == ("das kann ich nicht",)
    assert mine.key != USUAL.key
    assert text("Das kann ich nicht beantworten").measures.refuses(mine)
    assert not text("I cannot assist").measures.refuses(mine)
    assert not text("anything").measures.refuses(read_phrases({VARIABLE: "[]"}))


@pytest.mark.parametrize("given", ["no", "{}", "[1]", '[""]', '["\u200b"]', json.dumps(["x" * 201]), '["a"]' * 2])
def test_phrases_that_cannot_be_read_are_refused_before_anything_runs(given: str) -> None:
    with pytest.raises(Invalid, match="TEXT_REFUSALS must"):
        check_environment({VARIABLE: given})


def test_only_content_types_of_texts_are_read() -> None:
    assert kind_of("Text/Plain; charset=utf-8") == "text/plain"
    assert kind_of("application/json") == JSON
    for other in ("text/csv", "application/octet-stream", "image/png", "", "application/x-npy"):
        assert kind_of(other) == ""
