"""What runs a model. One file per runtime; ``load`` finds the one that an image name resolved to.

A built-in runtime is made by its module's ``load(model_dir, environment)``, which raises ArtifactError for a model
it cannot use: a ``batching.Scorer`` for tables, whose requests are scored together, or a ``handling.Handler`` that
answers whole requests in threads. Its libraries are imported only in a worker that needs them. Any other program is
an engine of its own, ``program.Program``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.worker.batching import Scorer
from tidegate.worker.handling import Handler
from tidegate.worker.images import RuntimeKind
from tidegate.worker.runtimes.detect import SCRIPT, detect, is_code
from tidegate.worker.runtimes.lean import IMPORTS
from tidegate.worker.runtimes.trial import tried

_WITH_SCRIPTS = (RuntimeKind.SKLEARN, RuntimeKind.XGBOOST)
"""Runtimes whose AWS images run a script that lies in the model data."""


def load(kind: RuntimeKind, model_dir: Path, environment: Mapping[str, str]) -> Scorer[Any, Any] | Handler:
    """The model of a built-in runtime, ready to answer; raises ArtifactError, Invalid or Transient."""
    chosen = choose(kind, model_dir, environment)
    with tried(chosen.value, model_dir, environment):
        module = IMPORTS.runtime(chosen)
    loaded: Scorer[Any, Any] | Handler
    if chosen is RuntimeKind.SCRIPT and kind in _WITH_SCRIPTS:
        loaded = module.load(model_dir, environment, family=kind.value)
    else:
        loaded = module.load(model_dir, environment)
    return loaded


def choose(kind: RuntimeKind, model_dir: Path, environment: Mapping[str, str]) -> RuntimeKind:
    """The runtime for this model data: the one that was named, or by what the artifact is."""
    if kind is RuntimeKind.AUTO:
        files = (path for path in model_dir.rglob("*") if path.is_file())
        return detect([path.relative_to(model_dir).as_posix() for path in files], environment)
    if kind in _WITH_SCRIPTS:
        scripts = [SCRIPT] if (model_dir / SCRIPT).is_file() else []
        return RuntimeKind.SCRIPT if is_code(scripts, environment) else kind
    return kind
