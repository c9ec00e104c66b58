"""Language models in GGUF files, run in this process by llama.cpp (the xllamacpp package).

The model is the one ``.gguf`` file of the model data. A request is JSON: an OpenAI chat completion (``messages``),
an OpenAI completion (``prompt``), or ``{"inputs": "...", "parameters": {...}}`` as in text-generation containers.
``"stream": true`` makes the answer server-sent events. ``slots`` requests are generated at a time; they share each
pass through the weights.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.formats import completions
from tidegate.serving.scoring.thread_engine import AnswerStream

try:
    import xllamacpp

    from tidegate.serving.runtimes.error_messages import head, looks_like
    from tidegate.serving.runtimes.tabular_scorer import only, threads
except ImportError as missing:
    raise ArtifactError(
        f"GGUF models need packages that are not installed ({missing.name}): pip install 'tidegate[gguf]'"
    ) from None

if TYPE_CHECKING:
    from tidegate.serving.runtimes.devices.placement import Placement

CONTEXT = "GGUF_CONTEXT"
"""Variable of a model's environment: tokens of prompt and answer that one request may have."""
SLOTS = "GGUF_SLOTS"
"""Variable of a model's environment: requests that are generated at a time."""
_PATH = b"x-tidegate-path"
_MAGIC = b"GGUF"

Ask = Callable[[bytes, Callable[[bytes], object]], object]


@dataclass(frozen=True)
class _GgufSettings:
    """``context`` is in tokens per slot; llama.cpp cuts it to what the model was trained with."""

    context: int = 2048
    slots: int = 4
    threads: int = 1


def load(model_dir: Path, environment: Mapping[str, str], placement: "Placement | None" = None) -> "Generator":
    """Load the model. Raises ArtifactError for model data without exactly one usable model, or that is another one on
    the devices, Invalid for a bad setting."""
    settings = _GgufSettings(
        _whole(environment, CONTEXT, _GgufSettings.context, 1 << 20),
        _whole(environment, SLOTS, _GgufSettings.slots, 64),
        threads(environment),
    )
    path = only(model_dir, "GGUF model", (".gguf",))
    if not head(path).startswith(_MAGIC):
        raise ArtifactError(f"{path.name} is not a GGUF model: it {looks_like(head(path))}")
    server = _open(path, settings, layers=None if placement is None else 0)
    if placement is not None:
        expected = placement.library.expect_tokens(server)
        del server  # its memory is needed
        free = placement.library.free_memory()
        server = _open(path, settings, placement.library.layers)
        placement.library.compare(expected, server, placement, free)
    return Generator(server, path.stem, settings.slots)


def _whole(environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    given = environment.get(name, str(default))
    if not given.isdecimal() or not 0 < int(given) <= most:
        raise Invalid(f"{name} must be a whole number from 1 to {most}, not {given!r}")
    return int(given)


def why_it_ended(names: Sequence[str], log: str, code: int) -> str:
    """Why llama.cpp did not load these files in ``probe_load``: its first error, without the time and the
    function."""
    name = next((name for name in names if name.endswith(".gguf")), "the model")
    reason = f"llama.cpp ended with code {code}"
    for line in log.splitlines():
        before, mark, after = line.partition(" E ")
        if "GGML_ASSERT" in line:
            reason = line[line.index("GGML_ASSERT") :]
            break
        if mark and before.replace(".", "").isdecimal():
            reason = " ".join(after.rpartition("error loading model: ")[2].split())
            break
    return f"{name} is not a whole GGUF model: {reason}"


def _open(path: Path, settings: _GgufSettings, layers: int | None) -> Any:
    """Open the server of llama.cpp. ``layers``: how many of the model's are on devices; None: llama.cpp chooses by
    the devices that it finds."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = settings.context * settings.slots
    parameters.n_parallel = settings.slots
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = settings.threads
    parameters.cache_ram_mib = 0  # cache earlier prompts in the slots only, within their memory
    parameters.fit_params = False
    if layers is not None:
        parameters.n_gpu_layers = layers
    parameters.check_tensors = True
    parameters.ui = False
    parameters.endpoint_metrics = True
    parameters.verbosity = 1
    parameters.model_alias = {path.stem}  # the model's name in answers, instead of its path
    # It always starts a server, which would check no signatures: give it a socket that is removed at once.
    with tempfile.TemporaryDirectory(prefix="tidegate-") as private:
        parameters.hostnames = [f"{private}/x.sock"]
        server = xllamacpp.Server(parameters)
    server.handle_metrics()  # its answer shows that its loop runs: closed earlier, it would never end
    return server


class Generator:
    """A ``thread_engine.Handler``."""

    def __init__(self, server: Any, name: str, slots: int) -> None:
        self.threads = slots
        self._server = server
        self._name = name

    def probe(self) -> None:
        """Do nothing: loading the model is the whole probe."""

    def answer(self, call: Call) -> Answer | AnswerStream:
        path = call.headers.get(_PATH, b"").decode("latin-1")
        if path.endswith("/models"):
            return completions.models(self._name)
        request = completions.read(call.body, path)
        server = self._server
        ask = server.handle_chat_completions if request.chat else server.handle_completions
        if request.stream:
            return AnswerStream("text/event-stream", _events(ask, request))
        found: list[bytes] = []
        try:
            ask(request.body, found.append)
        except (ValueError, RuntimeError) as error:
            raise completions.convert_error(error) from None
        if not found:
            raise ModelFailed(500, "llama.cpp gave no answer.")
        return Answer(request.whole(completions.check_answer(found[-1])), "application/json")


def _events(ask: Ask, request: completions.CompletionRequest) -> Iterator[bytes]:
    """The events of a stream; closing it ends the generation with the next token."""
    found: SimpleQueue[bytes | Exception | None] = SimpleQueue()
    closed = Event()

    def take(part: bytes) -> bool:
        found.put(part)
        return closed.is_set()

    def run() -> None:
        try:
            ask(request.body, take)
        except Exception as error:
            found.put(error)
        found.put(None)

    Thread(target=run, name="stream", daemon=True).start()
    try:
        while (part := found.get()) is not None:
            if isinstance(part, Exception):
                raise completions.convert_error(part)
            yield from request.part(completions.check_answer(part))
        yield request.end()
    finally:
        closed.set()
