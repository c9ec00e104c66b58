"""Requests and answers of servers that speak OpenAI's API."""

from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest

from tidegate.domain.errors import Invalid
from tidegate.http1.body_stream import BodyStream
from tidegate.http1.messages import HttpReply, StreamedReply
from tidegate.serving.contract.invocation import PATH, Call
from tidegate.serving.runtimes.openai_dialect import OpenAIDialect

SSE = {b"content-type": b"text/event-stream; charset=utf-8"}
JSON = {b"content-type": b"application/json"}
USED = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
TOKEN = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
HELLO = [{"role": "user", "content": "hello"}]


def call(body: object, path: str = "", *, parts: bool = True) -> Call:
    headers = {b"content-type": b"application/json"} | ({PATH: path.encode()} if path else {})
    return Call(body if isinstance(body, bytes) else msgspec.json.encode(body), headers, parts)


def sent(body: object, path: str = "", dialect: OpenAIDialect | None = None) -> tuple[str, str, Any]:
    request = (dialect or OpenAIDialect()).make_request(call(body, path))
    assert isinstance(request.body, bytes)
    return request.method, request.path, msgspec.json.decode(request.body) if request.body else None


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": HELLO}, "/v1/chat/completions"),
        ({"prompt": "a"}, "/v1/completions"),
        ({"input": ["a"]}, "/v1/embeddings"),
    ],
)
def test_members_of_an_invocation_choose_its_path(body: object, path: str) -> None:
    assert sent(body) == ("POST", path, body)


def test_paths_of_openai_pass_and_their_bodies_are_the_servers_to_judge() -> None:
    assert sent(b"", "/v1/models")[:2] == ("GET", "/v1/models")
    assert sent({"a": 1}, "/v1/embeddings") == ("POST", "/v1/embeddings", {"a": 1})
    assert OpenAIDialect().make_request(call(b"{", "/v1/completions")).body == b"{"
    assert sent({"a": 1}, dialect=OpenAIDialect("/generate")) == ("POST", "/generate", {"a": 1})


@pytest.mark.parametrize("body", [{"inputs": "a"}, [1], b"{", b"\xff", b'"messages"'])
def test_an_invocation_without_a_known_member_is_refused(body: object) -> None:
    with pytest.raises(Invalid, match="none of the members messages, prompt, input"):
        sent(body)


def test_the_endpoints_own_name_is_no_name_of_a_model() -> None:
    dialect = OpenAIDialect()
    dialect.endpoint = "chat"
    assert sent({"model": "chat", "prompt": "a"}, dialect=dialect)[2] == {"prompt": "a"}
    assert sent({"model": "lora-7", "prompt": "a"}, dialect=dialect)[2] == {"model": "lora-7", "prompt": "a"}


def test_a_stream_is_asked_for_its_tokens_and_what_else_was_asked_stays() -> None:
    asked = {"messages": HELLO, "stream": True, "stream_options": {"other": 1}, "seed": 12345678901234567890}
    _, _, body = sent(asked)
    assert body == {**asked, "stream_options": {"other": 1, "include_usage": True}}
    same = {"prompt": "a", "stream": True, "stream_options": {"include_usage": True}}
    assert OpenAIDialect().make_request(call(same)).body == msgspec.json.encode(same)
    assert sent({"input": "a", "stream": True})[2] == {"input": "a", "stream": True}


def test_the_tokens_of_a_whole_answer_are_noted() -> None:
    asked, dialect = call({"prompt": "a" * 100}), OpenAIDialect()
    dialect.make_request(asked)
    assert asked.tokens == round(len(asked.body) / 4)
    body = msgspec.json.encode({"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 3}})
    assert dialect.read_answer(asked, HttpReply(200, JSON, body)).body == body
    assert [(note.name, note.value) for note in asked.notes] == [("PromptTokens", 50), ("CompletionTokens", 3)]
    later = call(asked.body)
    dialect.make_request(later)
    assert later.tokens > asked.tokens  # prompts turned out to have fewer bytes for each token


@pytest.mark.parametrize("usage", [b"null", b'{"prompt_tokens":-1}', b'{"prompt_tokens":1e9}', b"3", b'{"a":{}}'])
def test_tokens_that_are_no_counts_are_not_noted(usage: bytes) -> None:
    asked = call({"prompt": "a"})
    OpenAIDialect().read_answer(asked, HttpReply(200, JSON, b'{"usage":%b}' % usage))
    OpenAIDialect().read_answer(asked, HttpReply(200, JSON, b"no JSON"))
    assert asked.notes == ()


class Parts(AsyncIterator[bytes]):
    """A body that comes in these parts."""

    def __init__(self, *parts: bytes) -> None:
        self.left, self.closed = list(parts), False

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop(0)

    async def aclose(self) -> None:
        self.closed = True


async def stream(asked: Call, *parts: bytes, headers: dict[bytes, bytes] | None = None) -> list[bytes]:
    body = Parts(*parts)
    reply = StreamedReply(200, SSE if headers is None else headers, cast(BodyStream, body))
    found = OpenAIDialect().read_stream(asked, reply).parts
    got = [part async for part in found]
    await found.aclose()  # type: ignore[attr-defined]
    assert body.closed
    return got


async def test_events_come_as_they_are_but_for_the_one_that_nobody_asked_for() -> None:
    asked = call({"prompt": "a", "stream": True})
    assert await stream(asked, TOKEN, TOKEN + USED, DONE) == [TOKEN, TOKEN, DONE]
    assert [(note.name, note.value) for note in asked.notes] == [("PromptTokens", 7), ("CompletionTokens", 2)]
    assert asked.tokens == 4
    wants = call({"prompt": "a", "stream": True, "stream_options": {"include_usage": True}})
    assert await stream(wants, TOKEN, USED, DONE) == [TOKEN, USED, DONE]
    assert len(wants.notes) == 2


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
async def test_an_event_in_pieces_is_read_whole(end: bytes) -> None:
    data = (TOKEN + USED + DONE).replace(b"\n\n", end)
    for size in (1, 7, 64):
        asked = call({"prompt": "a"})
        got = await stream(asked, *(data[at : at + size] for at in range(0, len(data), size)))
        assert b"".join(got) == (TOKEN + DONE).replace(b"\n\n", end)
        assert [note.value for note in asked.notes] == [7, 2]


async def test_tokens_that_come_with_each_event_are_noted_once_and_the_events_stay() -> None:
    events = [b'data: {"choices":[{}],"usage":{"prompt_tokens":7,"completion_tokens":%d}}\n\n' % n for n in (1, 2)]
    asked = call({"prompt": "a"})
    assert await stream(asked, *events) == events
    assert [note.value for note in asked.notes] == [7, 2]


async def test_what_is_cut_off_or_no_event_goes_through() -> None:
    long = b"x" * 2_000_000
    assert await stream(call({"prompt": "a"}), TOKEN, b"data: {", long) == [TOKEN, b"data: {" + long]
    assert await stream(call({"prompt": "a"}), b"data: half") == [b"data: half"]
    assert await stream(call({"prompt": "a"}), b"{", b"}", headers=JSON) == [b"{", b"}"]


async def test_a_stream_that_is_closed_before_it_is_read_closes_its_source() -> None:
    body = Parts(TOKEN)
    found = OpenAIDialect().read_stream(call({}), StreamedReply(200, SSE, cast(BodyStream, body))).parts
    await found.aclose()  # type: ignore[attr-defined]
    assert body.closed


def test_events_that_are_joined_are_read_likewise() -> None:
    asked = call({"prompt": "a", "stream": True}, parts=False)
    answer = OpenAIDialect().read_answer(asked, HttpReply(200, SSE, TOKEN + USED + DONE))
    assert answer.body == TOKEN + DONE
    assert [note.value for note in asked.notes] == [7, 2]
