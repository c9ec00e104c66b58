"""OpenAI's API, as vLLM, llama.cpp's server, TGI and SGLang serve it.

Requests below ``/v1`` go to the same path of the server. One to ``/invocations`` goes to the path that its members
belong to: ``messages``, ``prompt`` or ``input``. Bodies go through unchanged but for two members: the endpoint's own
name as ``model`` is left out, since each version may call its model something else, and a stream is asked for the
tokens that it used, which is kept from a client that did not ask.
"""

import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid
from tidegate.domain.worker_stats import COMPLETION_TOKENS, PROMPT_TOKENS
from tidegate.http1.messages import HttpReply, StreamedReply
from tidegate.serving.contract.invocation import PATH, Answer, Call, Stream, close_parts
from tidegate.serving.formats.text_answers import SSE, kind_of
from tidegate.serving.runtimes.upstream_calls import UpstreamDialect, UpstreamRequest

ROOT = "/v1"
CHAT, TEXT, EMBEDDINGS = "/chat/completions", "/completions", "/embeddings"
_PATHS = {"messages": CHAT, "prompt": TEXT, "input": EMBEDDINGS}
"""Member of a request -> the path below the root that takes it."""
_STREAMED = (CHAT, TEXT)
_EVENT = re.compile(rb".*?\r?\n\r?\n", re.DOTALL)
_LONGEST_EVENT = 1024 * 1024
"""Bytes of an event; what is longer goes through as it comes."""
_FIRST_RATE, _LEARNING = 4.0, 0.1
"""Bytes of a request for each token of its prompt: before any is known, and the weight of the newest."""
_MOST_TOKENS = 10_000_000

_Members = dict[str, msgspec.Raw]


class _Usage(msgspec.Struct):
    prompt_tokens: Any = None
    completion_tokens: Any = None


class _Document(msgspec.Struct):
    """The members of an answer, or of an event of a stream, that are read."""

    usage: _Usage | None = None
    choices: list[msgspec.Raw] | None = None


_documents, _members = msgspec.json.Decoder(prepare_type(_Document)), msgspec.json.Decoder(prepare_type(_Members))


class OpenAIDialect(UpstreamDialect):
    def __init__(self, predict: str = "", headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """``predict``: the path of each request to ``/invocations``; empty: it is chosen by the request."""
        super().__init__(predict or ROOT + CHAT, headers)
        self._by_members = not predict
        self._rate = _FIRST_RATE

    def make_request(self, call: Call) -> UpstreamRequest:
        request = super().make_request(call)
        body = request.body
        if not isinstance(body, bytes) or not body:
            return request
        members = _read_members(body)
        if PATH not in call.headers and self._by_members:
            request = replace(request, path=ROOT + _choose_path(members))
        call.tokens = max(1, round(len(body) / self._rate))
        changes = self._changes(request.path, members or {})
        if members is None or not changes:
            return request
        kept = {name: value for name, value in {**members, **changes}.items() if value is not None}
        return replace(request, body=msgspec.json.encode(kept))

    def read_answer(self, call: Call, reply: HttpReply) -> Answer:
        answer = super().read_answer(call, reply)
        if kind_of(answer.content_type) == SSE:
            reader = _EventReader(self, call)
            body = reader.take(answer.body, last=True)
            reader.finish()
            return answer._replace(body=body)
        document = _read_document(answer.body)
        self.note_usage(call, None if document is None else document.usage)
        return answer

    def read_stream(self, call: Call, reply: StreamedReply) -> Stream:
        stream = super().read_stream(call, reply)
        if kind_of(stream.content_type) != SSE:
            return stream
        return stream._replace(parts=_Events(stream.parts, _EventReader(self, call)))

    def note_usage(self, call: Call, usage: _Usage | None) -> None:
        """Take down the tokens that a call used, and learn from them how long prompts are."""
        if usage is None:
            return
        for name, count in ((PROMPT_TOKENS, usage.prompt_tokens), (COMPLETION_TOKENS, usage.completion_tokens)):
            if type(count) is int and 0 <= count <= _MOST_TOKENS:
                call.note(name, count)
        if type(usage.prompt_tokens) is int and 0 < usage.prompt_tokens <= _MOST_TOKENS:
            self._rate += _LEARNING * (len(call.body) / usage.prompt_tokens - self._rate)

    def _changes(self, path: str, members: _Members) -> dict[str, msgspec.Raw | None]:
        """Members that are replaced, or left out (None)."""
        changes: dict[str, msgspec.Raw | None] = {}
        if self.endpoint and _decode(members.get("model")) == self.endpoint:
            changes["model"] = None
        if path.endswith(_STREAMED) and _decode(members.get("stream")) is True:
            options = _decode(members.get("stream_options")) or {}
            if isinstance(options, dict) and not options.get("include_usage"):
                changes["stream_options"] = msgspec.Raw(msgspec.json.encode({**options, "include_usage": True}))
        return changes


class _Events(AsyncIterator[bytes]):
    """The events of a stream as they come."""

    def __init__(self, parts: AsyncIterator[bytes], reader: "_EventReader") -> None:
        self._parts, self._reader = parts, reader

    async def __anext__(self) -> bytes:
        async for part in self._parts:
            if events := self._reader.take(part):
                return events
        if events := self._reader.take(b"", last=True):
            return events
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._reader.finish()
        await close_parts(self._parts)


class _EventReader:
    """Reads the events of one answer: counts them in ``call.tokens``, and leaves out the event with the tokens that
    were used if the client did not ask for it."""

    def __init__(self, dialect: OpenAIDialect, call: Call) -> None:
        self._dialect, self._call = dialect, call
        self._rest = b""
        """The beginning of an event."""
        self._usage: _Usage | None = None
        """The last that was said; some servers say it with each event."""

    def take(self, part: bytes, *, last: bool = False) -> bytes:
        """Return the events that are whole, or all that there is at the end."""
        given = self._rest + part
        end = max(given.rfind(b"\n\n") + 2, given.rfind(b"\r\n\r\n") + 4 if b"\r" in given else 0)
        if last or len(given) > _LONGEST_EVENT:
            end = len(given)
        elif end < 4:  # nothing was found
            end = 0
        events, self._rest = given[:end], given[end:]
        self._call.tokens += events.count(b"data:")
        return self._without_usage(events) if b'"usage"' in events else events

    def finish(self) -> None:
        """Note the tokens that were used. To be called once nothing more is read."""
        usage, self._usage = self._usage, None
        self._dialect.note_usage(self._call, usage)

    def _without_usage(self, events: bytes) -> bytes:
        kept, end = [], 0
        for found in _EVENT.finditer(events):
            event, end = found[0], found.end()
            document = _read_document(event.strip().removeprefix(b"data:"))
            if document is not None and document.usage is not None:
                self._usage = document.usage
                if not document.choices and not _asks_for_usage(self._call):
                    continue
            kept.append(event)
        return b"".join((*kept, events[end:]))


def _asks_for_usage(call: Call) -> bool:
    """Whether the client itself asked a stream for the tokens that it used."""
    options = _decode((_read_members(call.body) or {}).get("stream_options"))
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _choose_path(members: _Members | None) -> str:
    """Raises Invalid."""
    for name, path in _PATHS.items():
        if members and name in members:
            return path
    raise Invalid(f"The request has none of the members {', '.join(_PATHS)}, by which it would be known.")


def _read_members(body: bytes) -> _Members | None:
    """Return None for what is no JSON object: the server says what is wrong with it."""
    try:
        return _members.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _decode(value: msgspec.Raw | None) -> object:
    try:
        return None if value is None else msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _read_document(data: bytes) -> _Document | None:
    try:
        return _documents.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
