"""The ``multi_model`` section of a spec, as environment variables of its container."""

from collections.abc import Callable

from tidegate.spec import structures
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.unit_texts import bytes_text, duration_text
from tidegate.spec.units import bytes_of, duration

MIB = 2**20
VARIABLES = {
    "memory": "MULTI_MODEL_MEMORY_MB",
    "pin": "MULTI_MODEL_PINNED",
    "prefetch": "MULTI_MODEL_PREFETCH",
    "minimum_stay": "MULTI_MODEL_MINIMUM_STAY",
    "loading": "MULTI_MODEL_MAX_LOADING",
    "disk": "MULTI_MODEL_DISK_MB",
}
"""Key of a spec -> equivalent environment variable."""


def check(model: structures.ModelSpec, path: KeyPath) -> None:
    """Raises SpecError."""
    given = model.multi_model
    if given is None:
        return
    if model.data is None or model.data.endswith((".tar.gz", ".tgz")):
        raise SpecError((*path, "data"), "with multi_model: expected the folder or s3:// prefix of the models")
    here = (*path, "multi_model")
    for key in ("pin", "prefetch"):
        for index, name in enumerate(getattr(given, key)):
            if not name.strip() or "," in name:
                raise SpecError((*here, key, index), f"{name!r}: expected a model's path, such as acme.tar.gz")
    if given.loading is not None and given.loading < 1:
        raise SpecError((*here, "loading"), f"{given.loading}: must be at least 1")
    for key, variable in VARIABLES.items():
        if variable in model.environment and getattr(given, key):
            raise SpecError((*path, "environment", variable), f"duplicates multi_model.{key}: give one of them")
    environment(model, path)


def environment(model: structures.ModelSpec, path: KeyPath = ()) -> dict[str, str]:
    """Environment variables of the container; empty for a single model."""
    given, here = model.multi_model, (*path, "multi_model")
    if given is None:
        return {}
    found = {
        "pin": ",".join(given.pin),
        "prefetch": ",".join(given.prefetch),
        "loading": "" if given.loading is None else str(given.loading),
    }
    for key, text in (("memory", given.memory), ("disk", given.disk)):
        if text is not None:
            size = bytes_of(text, (*here, key))
            if size < MIB:
                raise SpecError((*here, key), f"{text!r}: must be at least 1MiB")
            found[key] = f"{round(size / MIB, 3)}"
    if given.minimum_stay is not None:
        found["minimum_stay"] = f"{duration(given.minimum_stay, (*here, 'minimum_stay')):g}"
    return {VARIABLES[key]: text for key, text in found.items() if text}


def render(variables: dict[str, str]) -> dict[str, object]:
    """The inverse of ``environment``: keys of a spec, whose variables are taken away. One with a value that no spec
    can say stays a variable."""
    found: dict[str, object] = {}
    for key, variable in VARIABLES.items():
        try:
            found[key] = _READERS[key](variables[variable])
        except (KeyError, ValueError):
            continue
        del variables[variable]
    return found


def _names(text: str) -> list[str]:
    return text.split(",")


def _mib(text: str) -> str:
    return bytes_text(round(float(text) * MIB))


def _span(text: str) -> str:
    return duration_text(float(text))


_READERS: dict[str, Callable[[str], object]] = {
    "memory": _mib,
    "pin": _names,
    "prefetch": _names,
    "minimum_stay": _span,
    "loading": int,
    "disk": _mib,
}
