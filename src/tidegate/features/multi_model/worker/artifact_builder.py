"""A child process that reads new artifacts: ``python -m tidegate.features.multi_model.worker.artifact_builder``.

An artifact that crashes, hangs or exhausts memory does so here and not in the worker. One JSON line per job on stdin,
one per result on stdout. An XGBoost model becomes a forest, which no native code reads again; any other model is
loaded once as a probe and stored unchanged.
"""

import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import TidegateError, Transient
from tidegate.features.multi_model.worker.disk_cache import place
from tidegate.serving.artifacts.durable_tree import sync_tree
from tidegate.serving.artifacts.fetch import Policy, fetch
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Call
from tidegate.serving.runtimes import choose, load
from tidegate.serving.runtimes.optional_imports import LOADER
from tidegate.serving.scoring.batching import Scorer
from tidegate.serving.scoring.thread_engine import AnswerStream, Handler

try:
    LOADER.load_module(RuntimeKind.XGBOOST)
    from tidegate.serving.runtimes import forest_builder, xgboost
    from tidegate.serving.runtimes.xgboost_document import NotCovered
except TidegateError:
    forest_builder = None  # type: ignore[assignment]

_PDEATHSIG = 1


class BuildJob(msgspec.Struct):
    """``url`` is the artifact, or empty to probe the model at ``out``. ``out``: path in the disk cache.
    ``request``: a body to answer as a probe."""

    url: str
    mark: str
    out: str
    kind: RuntimeKind
    environment: dict[str, str]
    policy: Policy
    request: bytes | None = None
    headers: dict[str, bytes] = {}


class BuildResult(msgspec.Struct):
    """Times in seconds. ``error`` empty: success. ``passing``: a retry may help."""

    download: float = 0.0
    work: float = 0.0
    error: str = ""
    passing: bool = False


def main() -> None:
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    # out of memory, the kernel ends this process before the worker
    Path("/proc/self/oom_score_adj").write_text("1000")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # output of libraries goes to the log
    answers.write(b"\n")
    for line in sys.stdin.buffer:
        answers.write(msgspec.json.encode(_run(msgspec.json.decode(line, type=prepare_type(BuildJob)))) + b"\n")


def _run(job: BuildJob) -> BuildResult:
    done = BuildResult()
    try:
        _work(job, done)
    except TidegateError as error:
        done.error, done.passing = error.message, isinstance(error, Transient)
    except OSError as error:
        done.error, done.passing = f"cannot be kept on the server: {error.strerror}", True
    except Exception as error:  # of a library: the model is unusable
        done.error = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    return done


def _work(job: BuildJob, done: BuildResult) -> None:
    out = Path(job.out)
    began = time.perf_counter()
    if not job.url:
        loaded = load(job.kind, out / "model", job.environment)
        if job.request is not None:
            _answer(loaded, Call(job.request, {k.encode("latin-1"): v for k, v in job.headers.items()}))
        done.work = time.perf_counter() - began
        return
    out.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = Path(tempfile.mkdtemp(prefix=f"{out.name}.", suffix=".partial", dir=out.parent))
    try:
        model = partial / "model"
        model.mkdir()
        fetch(job.url, model, job.policy)
        done.download = time.perf_counter() - began
        place(_keep(job, partial, model), out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    done.work = time.perf_counter() - began - done.download


def _answer(loaded: Scorer[Any, Any] | Handler, call: Call) -> None:
    """Answer a request. Errors do not matter, only whether this process survives."""
    with suppress(Exception):
        if isinstance(loaded, Handler):
            answer = loaded.answer(call)
            for _ in answer.parts if isinstance(answer, AnswerStream) else ():
                pass
        else:
            loaded.score([loaded.parse(call)])


def _keep(job: BuildJob, partial: Path, model: Path) -> Path:
    if forest_builder is not None and choose(job.kind, model, job.environment) is RuntimeKind.XGBOOST:
        _, booster = xgboost.read(model)
        xgboost.choose_trees(booster, job.environment)
        try:
            features = xgboost.features(booster, job.environment)
            forest = forest_builder.build_forest(booster, features, xgboost.iterations(booster), job.mark)
        except NotCovered as why:
            print(f"{job.url}: stays with the library: {why}", file=sys.stderr, flush=True)
        else:
            path = partial / "forest"
            path.write_bytes(forest)
            return path
    load(job.kind, model, job.environment)
    (partial / "mark").write_text(job.mark)
    sync_tree(partial)
    kept = partial.with_name(partial.name + ".kept")
    partial.rename(kept)
    return kept


if __name__ == "__main__":
    main()
