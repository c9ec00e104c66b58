"""Servers of language models that speak OpenAI's API, with tiny models of random weights: llama.cpp's own, and vLLM
for processors where it is installed."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests import llama_server, tiny_language_model
from tidegate.host.platform import free_port, wait_until

ROOT = Path(__file__).parents[2]
VLLM = ROOT / ".clients" / "vllm"
NO_VLLM = "vLLM for processors is not installed (3 GB): make .clients/vllm/.done"
QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1"}
"""Nothing is fetched and nobody is told."""
NAMES = ("tiny-1", "tiny-2")
START = 600.0
"""Seconds that vLLM may take on a busy machine."""


@dataclass
class Engine:
    """Servers of the same model, each with a name of its own. ``gauge``: which of their metrics has the requests that
    are generated now."""

    kind: str
    urls: list[str]
    names: Sequence[str]
    gauge: str

    def generating(self) -> float:
        """Requests that the first one generates."""
        lines = httpx.get(f"{self.urls[0]}/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(self.gauge))


@contextmanager
def run(command: list[str], url: str, log: Path, more: dict[str, str]) -> Iterator[None]:
    """A server, until its health is good and then as long as it is needed."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, **more}
        )

        def healthy() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"it ended with {process.returncode}: {log.read_text()[-3000:]}")
            try:
                return httpx.get(f"{url}/health").status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_until(healthy, f"{command[0]} is healthy", START, 0.2)
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


Command = Callable[[int, str], list[str]]


@contextmanager
def _run_all(
    kind: str, command: Command, gauge: str, names: Sequence[str], folder: Path, more: dict[str, str]
) -> Iterator[Engine]:
    made = Engine(kind, [], names, gauge)
    with ExitStack() as stack:
        for name in names:
            port = free_port()
            made.urls.append(f"http://127.0.0.1:{port}")
            stack.enter_context(run(command(port, name), made.urls[-1], folder / f"{name}.log", more))
        yield made


@contextmanager
def llama_cpp(folder: Path, names: Sequence[str] = NAMES, model: Path | None = None) -> Iterator[Engine]:
    """llama.cpp's server. ``model``: None: a tiny one is written."""
    if model is None:
        model = folder / "tiny.gguf"
        tiny_language_model.write(model, llama_server.CONTEXT)

    def command(port: int, name: str) -> list[str]:
        return [sys.executable, "-m", "tests.llama_server", str(model), str(port), name]

    with _run_all("llama.cpp", command, "llamacpp:requests_processing", names, folder, {}) as engine:
        yield engine


@contextmanager
def vllm(folder: Path, names: Sequence[str] = NAMES) -> Iterator[Engine]:
    """vLLM for processors. Skips the test where it is not installed."""
    if not (VLLM / ".done").exists():
        pytest.skip(NO_VLLM)
    model = folder / "model"
    script = [str(VLLM / "bin" / "python"), str(ROOT / "tests" / "vllm_model.py"), str(model)]
    subprocess.run(script, check=True, env={**os.environ, **QUIET}, timeout=START)
    given = {**QUIET, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}

    def command(port: int, name: str) -> list[str]:
        options = ("--host", "127.0.0.1", "--port", str(port), "--served-model-name", name, "--enforce-eager")
        return [str(VLLM / "bin" / "vllm"), "serve", str(model), *options]

    with _run_all("vLLM", command, "vllm:num_requests_running", names, folder, given) as engine:
        yield engine
