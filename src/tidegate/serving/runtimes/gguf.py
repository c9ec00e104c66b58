"""Language models in GGUF files, run in this process by llama.cpp (the xllamacpp package).

The model is the one ``.gguf`` file of the model data. A request is JSON: an OpenAI chat completion (``messages``),
an OpenAI completion (``prompt``), or ``{"inputs": "...", "parameters": {...}}`` as text-generation containers take
it. ``"stream": true`` answers with server-sent events. ``slots`` requests are generated at one time; they share
each pass through the weights.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.formats import completions
from tidegate.serving.scoring.thread_engine import Streamed

try:
    import xllamacpp

    from tidegate.serving.runtimes.error_messages import head, looks_like
    from tidegate.serving.runtimes.tabular_scorer import only, threads
except ImportError as missing:
    raise ArtifactError(
        f"GGUF models need packages that are not installed ({missing.name}): pip install 'tidegate[gguf]'"
    ) from None

CONTEXT = "GGUF_CONTEXT"
"""Variable of a model's environment: tokens of prompt and answer that one request may have."""
SLOTS = "GGUF_SLOTS"
"""Variable of a model's environment: requests that are generated at one time."""
_PATH = b"x-tidegate-path"
_MAGIC = b"GGUF"

Ask = Callable[[bytes, Callable[[bytes], object]], object]


@dataclass(frozen=True)
class Settings:
    """``context`` is in tokens per slot; llama.cpp cuts it to what the model was trained with."""

    context: int = 2048
    slots: int = 4
    threads: int = 1


def load(model_dir: Path, environment: Mapping[str, str]) -> "Generator":
    """Raises ArtifactError for model data without exactly one usable model, Invalid for a bad setting."""
    settings = Settings(
        _whole(environment, CONTEXT, Settings.context, 1 << 20),
        _whole(environment, SLOTS, Settings.slots, 64),
        threads(environment),
    )
    path = only(model_dir, "GGUF model", (".gguf",))
    if not head(path).startswith(_MAGIC):
        raise ArtifactError(f"{path.name} is not a GGUF model: it {looks_like(head(path))}")
    return Generator(_open(path, settings), path.stem, settings.slots)


def _whole(environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    given = environment.get(name, str(default))
    if not given.isdecimal() or not 0 < int(given) <= most:
        raise Invalid(f"{name} must be a whole number from 1 to {most}, not {given!r}")
    return int(given)


def why_it_ended(names: Sequence[str], log: str, code: int) -> str:
    """Why llama.cpp did not load the model of these files on ``trial``: its first complaint, without the clock and
    the function that it puts before it."""
    name = next((name for name in names if name.endswith(".gguf")), "the model")
    said = f"llama.cpp ended with code {code}"
    for line in log.splitlines():
        before, mark, after = line.partition(" E ")
        if "GGML_ASSERT" in line:
            said = line[line.index("GGML_ASSERT") :]
            break
        if mark and before.replace(".", "").isdecimal():
            said = " ".join(after.rpartition("error loading model: ")[2].split())
            break
    return f"{name} is not a whole GGUF model: {said}"


def _open(path: Path, settings: Settings) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = settings.context * settings.slots
    parameters.n_parallel = settings.slots
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = settings.threads
    parameters.cache_ram_mib = 0  # prompts of the past are kept in the slots only, within what is allocated
    parameters.fit_params = False
    parameters.check_tensors = True
    parameters.ui = False
    parameters.endpoint_metrics = True
    parameters.verbosity = 1
    parameters.model_alias = {path.stem}  # answers name the model by it, not by its path
    # It insists on a server of its own, which would know no signatures: on a socket that loses its name at once.
    with tempfile.TemporaryDirectory(prefix="tidegate-") as private:
        parameters.hostnames = [f"{private}/x.sock"]
        server = xllamacpp.Server(parameters)
    server.handle_metrics()  # it has answered, so its loop runs: let go of earlier, it would never end
    return server


class Generator:
    """A ``handling.Handler``."""

    def __init__(self, server: Any, name: str, slots: int) -> None:
        self.threads = slots
        self._server = server
        self._name = name

    def probe(self) -> None:
        """To be loaded is all that is asked of it on trial."""

    def answer(self, call: Call) -> Answer | Streamed:
        path = call.headers.get(_PATH, b"").decode("latin-1")
        if path.endswith("/models"):
            return completions.models(self._name)
        wish = completions.read(call.body, path)
        server = self._server
        ask = server.handle_chat_completions if wish.chat else server.handle_completions
        if wish.stream:
            return Streamed("text/event-stream", _events(ask, wish))
        found: list[bytes] = []
        try:
            ask(wish.body, found.append)
        except (ValueError, RuntimeError) as error:
            raise completions.refused(error) from None
        if not found:
            raise ModelFailed(500, "llama.cpp gave no answer.")
        return Answer(wish.whole(completions.checked(found[-1])), "application/json")


def _events(ask: Ask, wish: completions.Wish) -> Iterator[bytes]:
    """The events of a stream; closing it ends the generation with the next token."""
    found: SimpleQueue[bytes | Exception | None] = SimpleQueue()
    closed = Event()

    def take(part: bytes) -> bool:
        found.put(part)
        return closed.is_set()

    def run() -> None:
        try:
            ask(wish.body, take)
        except Exception as error:
            found.put(error)
        found.put(None)

    Thread(target=run, name="stream", daemon=True).start()
    try:
        while (part := found.get()) is not None:
            if isinstance(part, Exception):
                raise completions.refused(part)
            yield from wish.part(completions.checked(part))
        yield wish.end()
    finally:
        closed.set()
