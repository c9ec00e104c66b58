"""A model of many models: what a spec says of it, as the variables that its container reads."""

from tidegate.spec import structures
from tidegate.spec.problem import KeyPath, SpecError
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
"""Key of a spec -> the variable that says the same to a server."""


def check(model: structures.ModelSpec, path: KeyPath) -> None:
    """Raises SpecError."""
    given = model.multi_model
    if given is None:
        return
    if model.data is None or model.data.endswith((".tar.gz", ".tgz")):
        raise SpecError((*path, "data"), "with multi_model, the folder or s3:// prefix that the models lie under")
    here = (*path, "multi_model")
    for key in ("pin", "prefetch"):
        for index, name in enumerate(getattr(given, key)):
            if not name.strip() or "," in name:
                raise SpecError((*here, key, index), f"{name!r}: expected a model's path, such as acme.tar.gz")
    if given.loading is not None and given.loading < 1:
        raise SpecError((*here, "loading"), f"{given.loading}: must be at least 1")
    for key, variable in VARIABLES.items():
        if variable in model.environment and getattr(given, key):
            raise SpecError(
                (*path, "environment", variable), f"says the same as multi_model.{key}: give one of them"
            )
    environment(model, path)


def environment(model: structures.ModelSpec, path: KeyPath = ()) -> dict[str, str]:
    """Variables of the container, by name; none where it serves one model."""
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
