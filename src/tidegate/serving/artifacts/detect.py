"""Which runtime a model folder is for, by what lies in it. Pure.

Code comes first, then an ``MLmodel`` file (both say how everything beside them is used), then files whose names
belong to one runtime, then names that are a model's only where nothing else is.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.images import RuntimeKind

CODE_FOLDER = "code"
SCRIPT = f"{CODE_FOLDER}/inference.py"
PROGRAM = "SAGEMAKER_PROGRAM"
"""Variable that names the file with the functions; clients also send it empty."""
HANDLER = "MODEL_HANDLER"
"""Variable that names a Python class or function."""

WHOLE = {"MLmodel": "mlflow"}
"""A file that describes the whole folder -> runtime."""
CLEAR = {
    "xgboost-model": "xgboost",
    ".ubj": "xgboost",
    ".onnx": "onnx",
    ".lgb": "lightgbm",
    ".skops": "sklearn",
    ".joblib": "sklearn",
    ".pkl": "sklearn",
    ".pickle": "sklearn",
    ".pt": "pytorch",
    ".pt2": "pytorch",
    ".pth": "pytorch",
    ".ts": "pytorch",
    ".gguf": "gguf",
}
"""Name or ending of a model's file -> runtime."""
POSSIBLE = {".json": "xgboost", ".txt": "lightgbm"}
"""Endings that other files have as well."""
_NO_MODEL = ("requirements", "readme", "license", "licence", "notice", "config", "metadata", "schema", "features")
"""Beginnings of names with a possible ending that are no model."""


def is_code(names: Iterable[str], environment: Mapping[str, str]) -> bool:
    """Whether the folder brings functions of its own that answer requests."""
    return bool(environment.get(PROGRAM)) or SCRIPT in names


def detect(names: Iterable[str], environment: Mapping[str, str]) -> RuntimeKind:
    """The runtime for a folder with these files (paths relative to it, with ``/``).

    Raises ArtifactError that names the candidates where there is not exactly one."""
    files = sorted(names)
    if environment.get(HANDLER):
        return RuntimeKind.PYTHON
    if is_code(files, environment):
        return RuntimeKind.SCRIPT
    top = [name for name in files if "/" not in name]
    if not top and len({name.partition("/")[0] for name in files}) == 1:
        top = [name for name in (file.partition("/")[2] for file in files) if name in WHOLE]
    for table, chosen in ((WHOLE, top), (CLEAR, top), (POSSIBLE, [name for name in top if _may_be(name)])):
        found = {name: table.get(name) or table.get(PurePosixPath(name).suffix.lower()) for name in chosen}
        candidates = {name: runtime for name, runtime in found.items() if runtime is not None}
        if candidates:
            return _only(candidates)
    if not files:
        raise ArtifactError("the model data is empty: there is no file that could be a model")
    told = ", ".join(top[:10]) or "nothing at the top"
    raise ArtifactError(f"no file of the model data says which runtime it is for; found: {told}; name the image")


def _may_be(name: str) -> bool:
    return not name.lower().startswith(_NO_MODEL)


def _only(candidates: Mapping[str, str]) -> RuntimeKind:
    runtimes = sorted(set(candidates.values()))
    if len(runtimes) > 1:
        files = ", ".join(f"{name} ({runtime})" for name, runtime in candidates.items())
        images = " or ".join(f"tidegate/{runtime}" for runtime in runtimes)
        raise ArtifactError(f"the model data may be for several runtimes: {files}; name the image: {images}")
    return RuntimeKind(runtimes[0])
