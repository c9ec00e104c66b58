"""What runs a model. One file per runtime; ``load`` finds the one that an image name resolved to.

A built-in runtime is a ``batching.Scorer`` made by its module's ``load(model_dir, environment)``, which raises
ArtifactError for a model it cannot use. Its libraries are imported only in a worker that needs them. Any other
program is an engine of its own, ``program.Program``.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tidegate.worker.batching import Scorer
from tidegate.worker.images import RuntimeKind


def load(kind: RuntimeKind, model_dir: Path, environment: Mapping[str, str]) -> Scorer[Any, Any]:
    """The model of a built-in runtime, ready to score; raises ArtifactError."""
    scorer: Scorer[Any, Any] = import_module(f"{__name__}.{kind.value}").load(model_dir, environment)
    return scorer
