"""Runtimes, which run models: one module per runtime, and its row in ``contract/catalogue.py``.

A runtime's module has ``load(model_dir, environment)``, which raises ArtifactError for a model that it cannot use. It
returns a ``batching.Scorer`` for tables, whose requests are scored together, or a ``thread_engine.Handler`` that
answers whole requests in threads. A worker imports the libraries of its own runtime only. Any other program is an
engine of its own, ``program.Program``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidegate.serving.artifacts.detect_runtime import SCRIPT, detect, is_code
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.runtimes.optional_imports import LOADER
from tidegate.serving.runtimes.probe_load import probe_in_child
from tidegate.serving.scoring.batching import Scorer
from tidegate.serving.scoring.thread_engine import Handler

if TYPE_CHECKING:
    from tidegate.serving.runtimes.devices.library import DeviceLibrary
    from tidegate.serving.runtimes.devices.placement import Placement
    from tidegate.serving.runtimes.forest import Forest
    from tidegate.serving.runtimes.tabular_scorer import TabularScorer


def load(
    kind: RuntimeKind, model_dir: Path, environment: Mapping[str, str], placement: "Placement | None" = None
) -> Scorer[Any, Any] | Handler:
    """The model of a built-in runtime, ready to answer, on its devices if it has a ``placement``. Raises
    ArtifactError, Invalid or Transient."""
    chosen = choose(kind, model_dir, environment)
    with probe_in_child(chosen, model_dir, environment):
        module = LOADER.load_module(chosen)
    framework = kind.descriptor.script_framework
    if chosen is RuntimeKind.SCRIPT and framework:
        return module.load(model_dir, environment, family=framework)  # type: ignore[no-any-return]
    placed: tuple[Placement, ...] = ()
    if placement is not None:
        placement.begin()
        placed = (placement,)
    loaded: Any = module.load(model_dir, environment, *placed)
    if kind is RuntimeKind.SAGEMAKER_XGBOOST:
        from tidegate.serving.runtimes import aws_xgboost  # noqa: PLC0415  # needs numpy, as models do

        loaded.follow(aws_xgboost.of_booster(loaded.booster, environment))
    return loaded  # type: ignore[no-any-return]


def device_library(kind: RuntimeKind) -> "DeviceLibrary":
    """How a runtime's library uses devices. Raises ArtifactError for a missing library."""
    return LOADER.load_device_module(kind).LIBRARY  # type: ignore[no-any-return]


def score_forest(
    forest: "Forest", kind: RuntimeKind, environment: Mapping[str, str], accept: str | None
) -> "TabularScorer":
    """A scorer around the trees of an XGBoost model. Raises ArtifactError, Invalid."""
    from tidegate.serving.runtimes import tabular_scorer  # noqa: PLC0415  # needs numpy, as models do

    table = tabular_scorer.of_forest(forest, accept)
    if kind is RuntimeKind.SAGEMAKER_XGBOOST:
        from tidegate.serving.runtimes import aws_xgboost  # noqa: PLC0415  # needs numpy, as models do

        table.follow(aws_xgboost.of_forest(forest, environment))
    return table


def choose(kind: RuntimeKind, model_dir: Path, environment: Mapping[str, str]) -> RuntimeKind:
    """The runtime for this model data: the one that was named, or by what the artifact is."""
    if kind is RuntimeKind.AUTO:
        files = (path for path in model_dir.rglob("*") if path.is_file())
        return detect([path.relative_to(model_dir).as_posix() for path in files], environment)
    if kind.descriptor.script_framework:
        scripts = [SCRIPT] if (model_dir / SCRIPT).is_file() else []
        if is_code(scripts, environment):
            return RuntimeKind.SCRIPT
    return RuntimeKind.XGBOOST if kind is RuntimeKind.SAGEMAKER_XGBOOST else kind
