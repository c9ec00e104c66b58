"""Serving options of a variant: one model, a pipeline, or several containers that requests choose from."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from tidegate.domain.registry import MULTI_MODEL, SINGLE_MODEL, ContainerDefinition, Model
from tidegate.domain.registry_addresses import EXPECTED, parse_registry_address
from tidegate.spec import multi_model, structures, value_types
from tidegate.spec.following import check_following, find_package
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.units import one_of
from tidegate.spec.upstream import check_upstream, image_name, upstream

ONLY_VARIANT = "AllTraffic"
"""Name of a spec's only variant, as in SageMaker's SDK."""
KEYS = ("model", "pipeline", "containers")
"""Exactly one of them is given with a variant."""
MODES = {"pipeline": "Serial", "containers": "Direct"}
MIN_CONTAINERS, MAX_CONTAINERS = 2, 15
METHOD = "SKLEARN_METHOD"
"""Environment variable that is equivalent to the key ``method``."""
_MAX_NAME = 63


def check(variant: structures.VariantSection, path: KeyPath) -> None:
    """Raises SpecError."""
    given = [key for key in KEYS if getattr(variant, key) is not None]
    if not given:
        raise SpecError(path, "'model' is missing (or 'pipeline', or 'containers')")
    if len(given) > 1:
        raise SpecError((*path, given[1]), f"give either {given[0]} or {given[1]}, not both")
    if variant.model is not None:
        _check_model(variant.model, (*path, "model"))
        return
    several = _several_containers(variant)
    if not MIN_CONTAINERS <= len(several) <= MAX_CONTAINERS:
        raise SpecError(
            (*path, given[0]), f"{len(several)} containers, expected {MIN_CONTAINERS} to {MAX_CONTAINERS}"
        )
    seen: set[str] = set()
    for index, each in enumerate(several):
        here = (*path, given[0], index)
        if not re.fullmatch(value_types.NAME, each.name):
            raise SpecError((*here, "name"), f"{each.name!r}: expected 1 to 63 letters, digits and hyphens")
        if each.name in seen:
            raise SpecError((*here, "name"), f"{each.name!r} is given twice")
        seen.add(each.name)
        if each.gpus:
            raise SpecError((*here, "gpus"), "cannot be used in one of several containers: they share the devices")
        if each.multi_model is not None:
            raise SpecError(
                (*here, "multi_model"), "cannot be used in one of several containers: use it with model"
            )
        _check_model(each, here)


def _check_model(model: structures.ModelSpec, path: KeyPath) -> None:
    if not model.image:
        raise SpecError((*path, "image"), "must not be empty")
    check_upstream(model, path)
    outside = model.container is not None or model.url is not None
    if (
        model.image == value_types.AUTO
        and model.data is None
        and not outside
        and "MODEL_HANDLER" not in model.environment
    ):
        raise SpecError(
            path, "'data' is missing, which the runtime is chosen by (or give 'image' and what it needs)"
        )
    check_following(model, path)
    registered = model.data is not None and parse_registry_address(model.data) is not None
    if model.data is not None and not registered and not re.match(r"^(file:///|s3://[^/]+)", model.data):
        raise SpecError(
            (*path, "data"),
            f"{model.data!r}: expected file:///PATH, s3://BUCKET/KEY or {EXPECTED} (a path is relative to the spec"
            " file only where the CLI reads it)",
        )
    if model.method is not None:
        one_of(model.method, value_types.METHODS, (*path, "method"))
    if model.method is not None and METHOD in model.environment:
        raise SpecError((*path, "environment", METHOD), "duplicates method: give one of them")
    for key in model.environment:
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", key):
            raise SpecError((*path, "environment", key), "not a valid name of an environment variable")
    multi_model.check(model, path)


def model(endpoint: str, variant: structures.VariantSection, now: datetime) -> Model:
    """Model of a variant that passed ``check``."""
    name = model_name(endpoint, variant)
    if variant.model is not None:
        return Model(name=name, containers=(_container(variant.model),), created_at=now)
    return Model(
        name=name,
        containers=tuple(_container(each, each.name) for each in _several_containers(variant)),
        created_at=now,
        execution_mode=MODES["pipeline" if variant.pipeline is not None else "containers"],
        single=False,
    )


def model_name(endpoint: str, variant: structures.VariantSection) -> str:
    base = endpoint if variant.name == ONLY_VARIANT else f"{endpoint}-{variant.name}"
    if variant.model is not None:
        return content_name(base, _content(variant.model))
    mode = MODES["pipeline" if variant.pipeline is not None else "containers"]
    return content_name(base, [mode, [[each.name, *_content(each)] for each in _several_containers(variant)]])


def content_name(base: str, content: object) -> str:
    """``base`` and 8 hex digits of the content's digest: equal content always has the same name."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    return f"{base[: _MAX_NAME - 9].rstrip('-')}-{digest}"


def _several_containers(variant: structures.VariantSection) -> Sequence[structures.ContainerSection]:
    return variant.pipeline or variant.containers or ()


def _container(given: structures.ModelSpec, name: str | None = None) -> ContainerDefinition:
    return ContainerDefinition(
        image=image_name(given),
        upstream=upstream(given),
        data_url=given.data,
        environment=_environment(given),
        fingerprint=given.fingerprint,
        hostname=name,
        mode=SINGLE_MODEL if given.multi_model is None else MULTI_MODEL,
        cache=given.multi_model is None or given.multi_model.cache,
        package=find_package(given.fingerprint),
    )


def _content(given: structures.ModelSpec) -> list[object]:
    many_models = [] if given.multi_model is None else [MULTI_MODEL, given.multi_model.cache]
    reached = upstream(given)
    outside = [] if reached is None else [asdict(reached)]
    return [image_name(given), given.data, _environment(given), given.fingerprint, *many_models, *outside]


def _environment(given: structures.ModelSpec) -> dict[str, str]:
    method = {} if given.method is None else {METHOD: given.method}
    return {key: str(value) for key, value in given.environment.items()} | method | multi_model.environment(given)
