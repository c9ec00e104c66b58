"""Detects the runtime of a model folder from its file names. Pure.

Code comes first, then an ``MLmodel`` file (both define how the other files are used), then names that belong to one
runtime, then names that other files have as well.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.catalogue import RuntimeKind

CODE_FOLDER = "code"
SCRIPT = f"{CODE_FOLDER}/inference.py"
PROGRAM = "SAGEMAKER_PROGRAM"
"""Variable that names the file with the functions; clients also send it empty."""
HANDLER = "MODEL_HANDLER"
"""Variable that names a Python class or function."""

FOLDER_FILES = {kind.descriptor.folder_file: kind for kind in RuntimeKind if kind.descriptor.folder_file}
"""A file that describes the whole folder -> runtime."""
CERTAIN = {name: kind for kind in RuntimeKind for name in kind.descriptor.certain_files}
"""Name or ending of a model's file -> runtime."""
POSSIBLE = {ending: kind for kind in RuntimeKind for ending in kind.descriptor.possible_files}
"""Endings that other files have as well."""
_NO_MODEL = ("requirements", "readme", "license", "licence", "notice", "config", "metadata", "schema", "features")
"""Prefixes of names that are no model, whatever their ending."""


def is_code(names: Iterable[str], environment: Mapping[str, str]) -> bool:
    """Whether the folder brings a script that answers requests."""
    return bool(environment.get(PROGRAM)) or SCRIPT in names


def detect(names: Iterable[str], environment: Mapping[str, str]) -> RuntimeKind:
    """Return the runtime for a folder with these files (relative paths, with ``/``).

    Raises ArtifactError with the candidates unless there is exactly one."""
    files = sorted(names)
    if environment.get(HANDLER):
        return RuntimeKind.PYTHON
    if is_code(files, environment):
        return RuntimeKind.SCRIPT
    top = [name for name in files if "/" not in name]
    if not top and len({name.partition("/")[0] for name in files}) == 1:
        top = [name for name in (file.partition("/")[2] for file in files) if name in FOLDER_FILES]
    for table, chosen in (
        (FOLDER_FILES, top),
        (CERTAIN, top),
        (POSSIBLE, [name for name in top if _may_be(name)]),
    ):
        found = {name: table.get(name) or table.get(PurePosixPath(name).suffix.lower()) for name in chosen}
        candidates = {name: runtime for name, runtime in found.items() if runtime is not None}
        if candidates:
            return _only(candidates)
    if not files:
        raise ArtifactError("the model data is empty: there is no file that could be a model")
    shown = ", ".join(top[:10]) or "nothing at the top"
    raise ArtifactError(f"no file of the model data says which runtime it is for; found: {shown}; name the image")


def _may_be(name: str) -> bool:
    return not name.lower().startswith(_NO_MODEL)


def _only(candidates: Mapping[str, RuntimeKind]) -> RuntimeKind:
    runtimes = sorted(set(candidates.values()))
    if len(runtimes) > 1:
        files = ", ".join(f"{name} ({runtime})" for name, runtime in candidates.items())
        images = " or ".join(f"tidegate/{runtime}" for runtime in runtimes)
        raise ArtifactError(f"the model data may be for several runtimes: {files}; name the image: {images}")
    return runtimes[0]
