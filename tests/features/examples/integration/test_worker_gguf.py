"""A tiny language model in llama.cpp: what it is asked, how it answers and what it refuses."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests import tiny_language_model
from tests.worker_process import PATIENCE, Workers, request, workers
from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.runtimes import gguf, load
from tidegate.serving.scoring.thread_engine import AnswerStream

pytestmark = pytest.mark.slow

__all__ = ["workers"]

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gguf")
    tiny_language_model.write(made / "tiny.gguf")
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[gguf.Generator]:
    yield gguf.load(folder, {"GGUF_SLOTS": "2"})


def ask(model: gguf.Generator, asked: object, path: str = "") -> Answer | AnswerStream:
    headers = {b"x-tidegate-path": path.encode()} if path else {}
    return model.answer(Call(msgspec.json.encode(asked), headers))


def whole(model: gguf.Generator, asked: object, path: str = "") -> dict[str, object]:
    answer = ask(model, asked, path)
    assert isinstance(answer, Answer)
    return msgspec.json.decode(answer.body, type=dict[str, object])


def events(model: gguf.Generator, asked: Mapping[str, object]) -> list[bytes]:
    answer = ask(model, {**asked, "stream": True})
    assert isinstance(answer, AnswerStream) and answer.content_type == "text/event-stream"
    parts = list(answer.parts)
    assert all(part.startswith(b"data: ") and part.endswith(b"\n\n") for part in parts)
    return [part[6:-2] for part in parts]


def complete(text: str) -> str:
    """Without the beginning of a character that the last token left: a stream waits for the rest of it."""
    return text.rstrip("\N{REPLACEMENT CHARACTER}")


def refused(model: gguf.Generator, asked: object) -> str:
    with pytest.raises(ModelFailed) as caught:
        answer = model.answer(Call(asked if isinstance(asked, bytes) else msgspec.json.encode(asked), {}))
        list(answer.parts if isinstance(answer, AnswerStream) else ())
    assert caught.value.status == 400
    return caught.value.message


def test_chat_answers_whole_and_in_events_alike(model: gguf.Generator) -> None:
    asked = {"messages": HELLO, "max_completion_tokens": 8, "temperature": 0, "ignore_eos": True}
    told = whole(model, asked)
    assert told["object"] == "chat.completion" and told["model"] == "tiny"
    assert told["usage"]["completion_tokens"] == 8  # type: ignore[index]
    text = told["choices"][0]["message"]["content"]  # type: ignore[index]
    *chunks, last = events(model, asked)
    assert last == b"[DONE]"
    deltas = [msgspec.json.decode(chunk)["choices"][0]["delta"].get("content") for chunk in chunks]
    assert complete("".join(delta or "" for delta in deltas)) == complete(text)


def test_inputs_and_parameters_as_text_generation_containers_take_them(model: gguf.Generator) -> None:
    asked = {"inputs": "abc", "parameters": {"max_new_tokens": 6, "do_sample": False, "return_full_text": True}}
    answer = ask(model, asked)
    assert isinstance(answer, Answer)
    [told] = msgspec.json.decode(answer.body)
    assert told["generated_text"].startswith("abc") and len(told["generated_text"]) > 3
    last = msgspec.json.decode(events(model, asked)[-1])
    assert complete(last["generated_text"]) == complete(told["generated_text"])


def test_paths_of_openai(model: gguf.Generator) -> None:
    assert whole(model, {"prompt": "a", "max_tokens": 1}, "/v1/completions")["object"] == "text_completion"
    assert whole(model, {}, "/endpoints/chat/v1/models")["data"][0]["id"] == "tiny"  # type: ignore[index]
    with pytest.raises(ModelFailed, match="Unknown parameter 'prompt'"):
        ask(model, {"prompt": "a"}, "/endpoints/chat/v1/chat/completions")


def test_a_closed_stream_ends_and_its_slot_serves_again(model: gguf.Generator) -> None:
    for _ in range(3):
        answer = ask(model, {"messages": HELLO, "stream": True, "ignore_eos": True})
        assert isinstance(answer, AnswerStream)
        assert next(answer.parts).startswith(b"data: {")
        answer.parts.close()  # type: ignore[attr-defined]
    assert whole(model, {"messages": HELLO, "max_tokens": 2})["object"] == "chat.completion"


def test_more_requests_than_slots_all_get_their_answer(model: gguf.Generator) -> None:
    def tokens(length: int) -> tuple[int, int]:
        told = whole(model, {"prompt": "z" * length, "max_tokens": length, "ignore_eos": True})
        usage = msgspec.convert(told["usage"], dict[str, Any])
        return usage["prompt_tokens"], usage["completion_tokens"]

    lengths = range(3, 11)
    alone = [tokens(length) for length in lengths]
    assert [answered for _, answered in alone] == list(lengths)
    with ThreadPoolExecutor(len(lengths)) as pool:
        assert list(pool.map(tokens, lengths)) == alone


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (b"{", "The body is not JSON: Input data was truncated."),
        (b"", "The body is not JSON: Input data was truncated."),
        (b"\xff", "The body is not JSON"),
        ([1], "The body must be a JSON object."),
        ({}, "The JSON has none of 'messages', 'prompt' and 'inputs'."),
        ({"messages": HELLO, "tempreture": 1}, "Unknown parameter 'tempreture'."),
        ({"inputs": "a", "parameters": {"beams": 2}}, "Unknown parameter 'beams'."),
        ({"inputs": ["a"]}, "'inputs' must be a text."),
        ({"messages": []}, "'messages' must be a list of at least one message."),
        ({"messages": ["hello"]}, "Message 1 must be an object with a 'role' and a 'content'."),
        ({"messages": [{"role": "user"}]}, "All non-assistant messages must contain 'content'"),
        ({"messages": HELLO, "stream": "yes"}, "'stream' must be true or false."),
        ({"messages": HELLO, "max_tokens": "ten"}, "Field 'max_tokens'"),
        ({"messages": HELLO, "max_tokens": "ten", "stream": True}, "Field 'max_tokens'"),
        ({"messages": HELLO, "tools": [3]}, "Failed to parse tools"),
        ({"prompt": "a" * 600}, "exceeds the available context size (256 tokens)"),
        ({"prompt": "a" * 600, "stream": True}, "exceeds the available context size (256 tokens)"),
    ],
)
def test_what_is_refused(model: gguf.Generator, asked: object, message: str) -> None:
    assert message in refused(model, asked)
    assert whole(model, {"prompt": "a", "max_tokens": 1})["object"] == "text_completion"


# --- files ---


def broken(folder: Path, data: bytes) -> str:
    (folder / "model.gguf").write_bytes(data)
    with pytest.raises(ArtifactError) as caught:
        load(RuntimeKind.GGUF, folder, {})
    assert "\n" not in caught.value.message
    return caught.value.message


def test_broken_files_say_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    data = (folder / "tiny.gguf").read_bytes()
    for start, said in ((b"", "is empty"), (b"GGU", "begins with b'GGU'"), (b"PK\3\4", "looks like a zip file")):
        assert broken(tmp_path, start) == f"model.gguf is not a GGUF model: it {said}"
    for length in (4, 500, len(data) // 2, len(data) - 100):
        assert broken(tmp_path, data[:length]).startswith("model.gguf is not a whole GGUF model: ")
    cut = broken(tmp_path, data[: len(data) // 2])
    assert "not within the file bounds" in cut
    other = data.replace(b"blk.0.ffn_up.weight", b"blk.0.ffn_xx.weight")
    assert "check_tensor_dims: tensor 'blk.0.ffn_up.weight' not found" in broken(tmp_path, other)


def test_a_file_at_which_llama_cpp_ends_its_process_is_an_error_too(folder: Path, tmp_path: Path) -> None:
    data = (folder / "tiny.gguf").read_bytes()
    twice = data.replace(b"<0x41>", b"<0x42>")
    assert broken(tmp_path, twice).startswith("model.gguf is not a whole GGUF model: GGML_ASSERT(")


def test_settings_are_checked(folder: Path) -> None:
    with pytest.raises(Invalid, match="GGUF_SLOTS must be a whole number from 1 to 64, not 'many'"):
        gguf.load(folder, {"GGUF_SLOTS": "many"})


# --- in a worker ---


def test_a_worker_chats_and_ends_when_it_is_asked_to(workers: Workers, folder: Path) -> None:
    worker = workers.start(RuntimeChoice(RuntimeKind.GGUF), folder / "tiny.gguf")

    async def main() -> None:
        await worker.ready()
        body = msgspec.json.encode({"messages": HELLO, "max_tokens": 3, "ignore_eos": True})
        answer = await worker.ask(body=body, headers={"content-type": "application/json"})
        assert answer.status == 200 and answer.json()["usage"]["completion_tokens"] == 3  # type: ignore[index]
        bad = await worker.ask(body=b"{", headers={"content-type": "application/json"})
        assert bad.status == 424 and bad.json()["OriginalStatusCode"] == 400
        talk = msgspec.json.encode({"messages": HELLO, "max_tokens": 3, "stream": True})
        stream = await worker.connect()
        stream.send(request("/endpoints/fraud/v1/chat/completions", talk, {"connection": "close"}))
        said = await stream.reader.read()
        assert said.startswith(b"HTTP/1.1 200 ") and b"text/event-stream" in said
        assert b'"object":"chat.completion.chunk"' in said and b"data: [DONE]" in said
        unknown = await worker.ask("/endpoints/fraud/v1/chat/completions", b'{"messages":[{"role":"user"}],"x":1}')
        assert unknown.status == 400
        assert unknown.json()["error"]["message"] == "Unknown parameter 'x'."  # type: ignore[index]
        listed = await worker.ask("/endpoints/fraud/v1/models")
        assert listed.status == 200
        worker.terminate()

    workers.run(main())
    assert worker.wait() == 0
    assert worker.log.rstrip().endswith("drained")


def test_a_worker_with_a_broken_file_says_so(workers: Workers, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF but no more")
    worker = workers.start(RuntimeChoice(RuntimeKind.GGUF), tmp_path / "model.gguf")
    assert worker.wait() == 3
    assert worker.failure.permanent
    assert worker.failure.message.startswith("model.gguf is not a whole GGUF model: ")


def test_a_model_is_let_go_of_at_once(folder: Path) -> None:
    code = (
        "from pathlib import Path; from tidegate.serving.runtimes import gguf\n"
        f"for _ in range(3): gguf.load(Path({str(folder)!r}), {{}})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)
