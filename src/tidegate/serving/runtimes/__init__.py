"""What runs a model. One file per runtime; ``load`` finds the one that an image name resolved to.

A built-in runtime is made by its module's ``load(model_dir, environment)``, which raises ArtifactError for a model
it cannot use: a ``batching.Scorer`` for tables, whose requests are scored together, or a ``handling.Handler`` that
answers whole requests in threads. Its libraries are imported only in a worker that needs them. Any other program is
an engine of its own, ``program.Program``.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tidegate.serving.artifacts.detect import SCRIPT, detect, is_code
from tidegate.serving.contract.images import RuntimeKind
from tidegate.serving.runtimes.optional_imports import IMPORTS
from tidegate.serving.runtimes.probe_load import tried
from tidegate.serving.scoring.batching import Scorer
from tidegate.serving.scoring.thread_engine import Handler

FAMILIES = {
    RuntimeKind.SKLEARN: "sklearn",
    RuntimeKind.XGBOOST: "xgboost",
    RuntimeKind.SAGEMAKER_XGBOOST: "xgboost",
}
"""Runtimes whose AWS images run a script, and the framework whose functions stand in for those it does not have."""


def load(kind: RuntimeKind, model_dir: Path, environment: Mapping[str, str]) -> Scorer[Any, Any] | Handler:
    """The model of a built-in runtime, ready to answer; raises ArtifactError, Invalid or Transient."""
    chosen = choose(kind, model_dir, environment)
    with tried(chosen.value, model_dir, environment):
        module = IMPORTS.runtime(chosen)
    if chosen is RuntimeKind.SCRIPT and kind in FAMILIES:
        return module.load(model_dir, environment, family=FAMILIES[kind])  # type: ignore[no-any-return]
    loaded: Any = module.load(model_dir, environment)
    if kind is RuntimeKind.SAGEMAKER_XGBOOST:
        loaded.follow(_aws_xgboost().of_booster(loaded.booster, environment))
    return loaded  # type: ignore[no-any-return]


def served(forest: Any, kind: RuntimeKind, environment: Mapping[str, str], accept: str | None) -> Any:
    """A ``tabular_scorer.Table`` around the ``Forest`` of an XGBoost model. Raises ArtifactError, Invalid."""
    table = import_module(f"{__name__}.tabular_scorer").of_forest(forest, accept)
    if kind is RuntimeKind.SAGEMAKER_XGBOOST:
        table.follow(_aws_xgboost().of_forest(forest, environment))
    return table


def _aws_xgboost() -> Any:
    """Needs numpy, as models do and this module must not."""
    return import_module(f"{__name__}.aws_xgboost")


def choose(kind: RuntimeKind, model_dir: Path, environment: Mapping[str, str]) -> RuntimeKind:
    """The runtime for this model data: the one that was named, or by what the artifact is."""
    if kind is RuntimeKind.AUTO:
        files = (path for path in model_dir.rglob("*") if path.is_file())
        return detect([path.relative_to(model_dir).as_posix() for path in files], environment)
    if kind in FAMILIES:
        scripts = [SCRIPT] if (model_dir / SCRIPT).is_file() else []
        if is_code(scripts, environment):
            return RuntimeKind.SCRIPT
    return RuntimeKind.XGBOOST if kind is RuntimeKind.SAGEMAKER_XGBOOST else kind
