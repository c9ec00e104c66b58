"""Requests for generated text and their answers: OpenAI's JSON, and the ``inputs`` of text-generation containers.

An error of llama.cpp becomes a ModelFailed with the same status and message.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import msgspec

from tidegate.serving.contract.invocation import Answer, ModelFailed

_NAMES = """
temperature dynatemp_range dynatemp_exponent top_k top_p min_p top_n_sigma typical_p xtc_probability xtc_threshold
repeat_penalty repeat_last_n presence_penalty frequency_penalty dry_multiplier dry_base dry_allowed_length
dry_penalty_last_n dry_sequence_breakers mirostat mirostat_tau mirostat_eta samplers min_keep seed stop logit_bias
ignore_eos grammar json_schema n_probs cache_prompt max_tokens n stream stream_options model user metadata store
service_tier timings_per_token logprobs
"""
_CHAT_NAMES = """
messages max_completion_tokens response_format tools tool_choice parallel_tool_calls top_logprobs reasoning_effort
chat_template_kwargs add_generation_prompt
"""
_PARAMETER_NAMES = """
max_new_tokens temperature top_k top_p typical_p repetition_penalty presence_penalty frequency_penalty seed stop
do_sample return_full_text
"""
_CHAT = frozenset(_NAMES.split() + _CHAT_NAMES.split())
_TEXT = frozenset([*_NAMES.split(), "prompt", "n_predict"])
_PARAMETERS = frozenset(_PARAMETER_NAMES.split())
_RENAMED = {"max_new_tokens": "max_tokens", "repetition_penalty": "repeat_penalty"}
_INPUTS = frozenset(("inputs", "parameters", "stream"))
_OURS = ("do_sample", "return_full_text")


class CompletionRequest(Protocol):
    """One request. ``body``: the request to llama.cpp; the methods convert its answers to the caller's form."""

    body: bytes
    chat: bool
    stream: bool

    def whole(self, answer: bytes) -> bytes: ...

    def part(self, chunk: bytes) -> Iterator[bytes]: ...

    def end(self) -> bytes: ...


class _OpenAI:
    def __init__(self, asked: Mapping[str, Any], chat: bool) -> None:
        self.body = msgspec.json.encode(asked)
        self.chat = chat
        self.stream = asked.get("stream") is True

    def whole(self, answer: bytes) -> bytes:
        return answer

    def part(self, chunk: bytes) -> Iterator[bytes]:
        yield _event(chunk)

    def end(self) -> bytes:
        return _event(b"[DONE]")


class _Inputs:
    """``[{"generated_text": ...}]``, or an event per token, the last of which has the whole text."""

    chat = False

    def __init__(self, asked: Mapping[str, Any]) -> None:
        _known(asked, _INPUTS)
        prompt, given = asked["inputs"], asked.get("parameters") or {}
        if not isinstance(prompt, str):
            raise _bad("'inputs' must be a text.")
        if not isinstance(given, dict):
            raise _bad("'parameters' must be an object.")
        _known(given, _PARAMETERS)
        self.stream = asked.get("stream") is True
        self._before = prompt if given.get("return_full_text") is True else ""
        self._generated: list[str] = []
        wanted = {_RENAMED.get(name, name): value for name, value in given.items() if name not in _OURS}
        if given.get("do_sample") is False:
            wanted["temperature"] = 0
        self.body = msgspec.json.encode({**wanted, "prompt": prompt, "stream": self.stream})

    def whole(self, answer: bytes) -> bytes:
        return msgspec.json.encode([{"generated_text": self._before + _text(answer)}])

    def part(self, chunk: bytes) -> Iterator[bytes]:
        text = _text(chunk)
        if text:
            self._generated.append(text)
            yield _event(msgspec.json.encode({"token": {"text": text}, "generated_text": None}))

    def end(self) -> bytes:
        whole = self._before + "".join(self._generated)
        return _event(msgspec.json.encode({"token": {"text": ""}, "generated_text": whole}))


def read(body: bytes, path: str) -> CompletionRequest:
    """Parse a request; ``path``, if the client called one, decides between chat and plain completion.

    Raises ModelFailed (400)."""
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad(f"The body is not JSON: {error}.") from None
    if not isinstance(asked, dict):
        raise _bad("The body must be a JSON object.")
    if not isinstance(asked.get("stream") or False, bool):
        raise _bad("'stream' must be true or false.")
    chat = path.endswith("/chat/completions")
    if not chat and path.endswith("/completions"):
        return _text_wish(asked)
    if chat or "messages" in asked:
        return _chat_wish(asked)
    if "inputs" in asked:
        return _Inputs(asked)
    if "prompt" in asked:
        return _text_wish(asked)
    raise _bad("The JSON has none of 'messages', 'prompt' and 'inputs'.")


def _chat_wish(asked: dict[str, Any]) -> CompletionRequest:
    _known(asked, _CHAT)
    if not isinstance(asked.get("messages"), list) or not asked["messages"]:
        raise _bad("'messages' must be a list of at least one message.")
    for number, message in enumerate(asked["messages"]):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _bad(f"Message {number + 1} must be an object with a 'role' and a 'content'.")
    if "max_completion_tokens" in asked:
        asked = {**asked, "max_tokens": asked["max_completion_tokens"]}
        del asked["max_completion_tokens"]
    return _OpenAI(asked, chat=True)


def _text_wish(asked: dict[str, Any]) -> CompletionRequest:
    _known(asked, _TEXT)
    if not isinstance(asked.get("prompt"), str):
        raise _bad("'prompt' must be a text.")
    return _OpenAI(asked, chat=False)


def _known(asked: Mapping[str, Any], names: frozenset[str]) -> None:
    for name in asked:
        if name not in names:
            raise _bad(f"Unknown parameter {name!r}.")


def models(name: str) -> Answer:
    """OpenAI's ``/v1/models``, with the only model."""
    entry = {"id": name, "object": "model", "created": 0, "owned_by": "tidegate"}
    return Answer(msgspec.json.encode({"object": "list", "data": [entry]}), "application/json")


def check_answer(said: bytes) -> bytes:
    """Return an answer of llama.cpp. Raises ModelFailed, with its status, if it is an error."""
    if not said.startswith(b'{"error"'):
        return said
    error = msgspec.json.decode(said)["error"]
    status = error.get("code")
    raise ModelFailed(status if _http(status) else 500, str(error.get("message")))


def convert_error(error: Exception) -> ModelFailed:
    """Convert an exception of llama.cpp, which it raises only for an unreadable request: other errors are answers."""
    if isinstance(error, ModelFailed):
        return error
    if isinstance(error, ValueError | RuntimeError):
        return _bad(" ".join(str(error).split()))
    return ModelFailed(500, f"{type(error).__name__}: {error}")


def _bad(message: str) -> ModelFailed:
    return ModelFailed(400, message)


def _http(status: object) -> bool:
    return isinstance(status, int) and 400 <= status < 600


def _text(said: bytes) -> str:
    choices = msgspec.json.decode(said).get("choices") or [{}]
    return str(choices[0].get("text") or "")


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
