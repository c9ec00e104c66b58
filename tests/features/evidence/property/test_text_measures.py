"""However an answer is cut into parts, and whatever is in it: the same measures, in bounded memory."""

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.contract.refusals import read_phrases
from tidegate.serving.formats.text_answers import KEPT, LINES, TextReader

PHRASES = read_phrases({})
KINDS = st.sampled_from(["application/json", "text/event-stream", "text/plain", "text/markdown", *sorted(LINES)])
WORDS = st.text("ab \n'\u00e9\u6771\U0001f600\u200b0", max_size=40)
DOCUMENTS = st.recursive(
    st.none() | st.integers() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "text", "message", "usage", "outputs", "index", "type"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


def line(document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


BODIES = (
    st.binary(max_size=200)
    | WORDS.map(str.encode)
    | DOCUMENTS.map(lambda one: json.dumps(one).encode())
    | st.lists(DOCUMENTS, max_size=5).map(lambda some: b"".join(map(line, some)))
    | st.lists(DOCUMENTS, max_size=5).map(lambda some: b"\n".join(json.dumps(one).encode() for one in some))
)


def measured(kind: str, parts: list[bytes]) -> object:
    reader = TextReader(kind, lambda: None)
    for part in parts:
        reader.feed(part)
    found = reader.measures
    return reader.finish() and (
        found.tokens,
        found.empty,
        found.repeated,
        found.refuses(PHRASES),
        reader.given,
        reader.refused,
    )


@given(KINDS, BODIES, st.lists(st.integers(0, 200), max_size=6))
def test_the_parts_in_which_an_answer_comes_change_nothing(kind: str, body: bytes, cuts: list[int]) -> None:
    places = sorted({0, *(min(cut, len(body)) for cut in cuts), len(body)})
    parts = [body[begin:end] for begin, end in itertools.pairwise(places)]
    assert measured(kind, parts) == measured(kind, [body])


@given(st.lists(WORDS, max_size=20))
def test_a_text_has_the_tokens_of_its_whole_whatever_its_pieces_are(pieces: list[str]) -> None:
    whole = "".join(pieces)
    reader = TextReader("application/jsonlines", lambda: None)
    for piece in pieces:
        reader.feed(json.dumps({"text": piece}).encode() + b"\n")
    reader.finish()
    assert reader.measures.tokens == max(len(whole.split()), len(whole.encode()) // 4)


@given(KINDS, st.binary(min_size=1, max_size=64), st.integers(1, 20_000))
def test_an_endless_answer_takes_bounded_memory(kind: str, piece: bytes, times: int) -> None:
    reader = TextReader(kind, lambda: None)
    for _ in range(4):
        reader.feed(piece * times)
    assert len(reader._rest) <= 300_000
    assert len(reader.measures._tail) <= 3 * KEPT
