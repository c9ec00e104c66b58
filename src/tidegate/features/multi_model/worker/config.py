"""Settings of a multi-model container, from its Environment."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.domain.errors import Invalid
from tidegate.domain.registry import ContainerDefinition
from tidegate.host import memory

# --- TargetModel: the name of a request's model, a path below the container's model data ---


HEADER = b"x-amzn-sagemaker-target-model"
LONGEST = 1024
"""Characters."""


class BadTarget(ValueError):
    """An invalid TargetModel; the message says why."""


def target_of(header: bytes | None) -> str:
    """The normalised name in a request's header. Raises BadTarget."""
    if not header:
        raise BadTarget("TargetModel is required by a multi-model endpoint: the model's path below ModelDataUrl.")
    try:
        name = header.decode()
    except UnicodeDecodeError:
        raise BadTarget("TargetModel is not UTF-8.") from None
    if len(name) > LONGEST:
        raise BadTarget(f"TargetModel has more than {LONGEST} characters.")
    parts = name.removeprefix("/").split("/")
    if not name.isprintable() or "\\" in name or any(part in ("", ".", "..") or len(part) > 255 for part in parts):
        raise BadTarget(f"TargetModel {name[:100]!r} is not the path of a file below ModelDataUrl.")
    return "/".join(parts)


def key_of(name: str) -> str:
    """File name for a model: of fixed length, in ASCII letters and digits."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


MEMORY = "MULTI_MODEL_MEMORY_MB"
PINNED = "MULTI_MODEL_PINNED"
PREFETCH = "MULTI_MODEL_PREFETCH"
STAY = "MULTI_MODEL_MINIMUM_STAY"
LOADING = "MULTI_MODEL_MAX_LOADING"
DISK = "MULTI_MODEL_DISK_MB"


@dataclass(frozen=True)
class MultiModelConfig:
    """``cache`` False: a model is unloaded after its request (ModelCacheSetting Disabled)."""

    memory: int
    """Bytes for all models together."""
    pinned: frozenset[str] = frozenset()
    """Loaded at the start and never evicted."""
    prefetch: tuple[str, ...] = ()
    """Loaded at the start, as far as there is memory."""
    minimum_stay: float = 10.0
    """Seconds for which a loaded model is kept at most while others wait for memory (``policy``)."""
    loading: int = 2
    """Models that are prepared or loaded at a time."""
    disk: int | None = None
    """Bytes of forests on disk; None: no limit."""
    cache: bool = True
    patience: float = 60.0
    """Seconds that a request waits for its model; the load continues without it."""


def read_config(environment: Mapping[str, str], cache: bool, memory: int) -> MultiModelConfig:
    """Read the settings. ``memory``: bytes if the container sets none. Raises Invalid."""
    return MultiModelConfig(
        memory=int(_number(environment, MEMORY, memory / 2**20, 1) * 2**20),
        pinned=frozenset(_names(environment, PINNED)),
        prefetch=_names(environment, PREFETCH),
        minimum_stay=_number(environment, STAY, MultiModelConfig.minimum_stay, 0),
        loading=int(_number(environment, LOADING, MultiModelConfig.loading, 1)),
        disk=int(_number(environment, DISK, 0, 1) * 2**20) if DISK in environment else None,
        cache=cache,
    )


def check_container(container: ContainerDefinition) -> None:
    """Raises Invalid for settings that no worker would take."""
    read_config(container.environment, container.cache, memory.machine())


def _number(environment: Mapping[str, str], name: str, default: float, least: float) -> float:
    given = environment.get(name)
    if given is None:
        return default
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not least <= value <= 1e9:
        raise Invalid(f"{name} must be a number of at least {least:g}, not {given!r}")
    return value


def _names(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Target models, separated by commas."""
    given = [part.strip() for part in environment.get(name, "").split(",")]
    try:
        return tuple(target_of(part.encode()) for part in given if part)
    except BadTarget as error:
        raise Invalid(f"{name}: {error}") from None
