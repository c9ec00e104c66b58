"""Keys of a model that a container of the user's or a service serves: how it is reached."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import SplitResult, urlsplit

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.domain.image_name import ImageName
from tidegate.domain.prediction_path import parse_path
from tidegate.domain.registry import Protocol, SecretReference, Upstream
from tidegate.spec import structures, value_types
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.units import one_of

HeadersSpec = Mapping[str, str | structures.SecretSpec]
SERVICE_IMAGE = "tidegate/service"
"""Image of a model that is a service, in lists and in SageMaker's API."""
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FORBIDDEN_HEADERS = {"host", "content-length", "transfer-encoding", "connection", "content-type", "accept"}
_OF_CONTAINERS = ("port", "arguments", "gpus")
_OF_BOTH = ("health", "predict", "headers", "prediction")


def check_upstream(model: structures.ModelSpec, path: KeyPath) -> None:
    """Check the keys of a container or a service, and that no other model has them. Raises SpecError."""
    if model.container is not None and model.url is not None:
        raise SpecError((*path, "url"), "give either container or url, not both")
    own = model.container is not None or model.url is not None
    one_of(model.protocol, tuple(one.value for one in Protocol), (*path, "protocol"))
    given = [key for key in (*_OF_CONTAINERS, *_OF_BOTH) if getattr(model, key)]
    given += ["protocol"] if model.protocol != Protocol.SAGEMAKER else []
    if not own:
        if given:
            raise SpecError((*path, given[0]), "is a key of a model that has container or url")
        return
    if model.image != value_types.AUTO:
        other = "container" if model.container is not None else "url"
        raise SpecError((*path, "image"), f"give either {other} or image, not both")
    for key in ("method", "multi_model"):
        if getattr(model, key) is not None:
            raise SpecError((*path, key), "is a key of tidegate's own runtimes")
    for key in ("health", "predict"):
        _check_path(getattr(model, key), (*path, key))
    if model.port is not None and not 1 <= model.port <= 65_535:
        raise SpecError((*path, "port"), f"{model.port}: must be 1 to 65535")
    _check_prediction(model.prediction, (*path, "prediction"))
    check_headers(model.headers, path)
    if model.container is not None:
        _check_image(model.container, (*path, "container"))
    if model.url is not None:
        _check_service(model, path)


def _check_image(name: str, path: KeyPath) -> None:
    try:
        ImageName.parse(name)
    except Invalid as error:
        raise SpecError(path, error.message) from None


def _check_service(model: structures.ModelSpec, path: KeyPath) -> None:
    for key in _OF_CONTAINERS:
        if getattr(model, key):
            raise SpecError((*path, key), "is a key of a container: a service is not started")
    if model.data is not None:
        raise SpecError((*path, "data"), "a service that runs already has its model data")
    if model.environment:
        raise SpecError((*path, "environment"), "a service that runs already has its environment")
    for address in addresses(model):
        parts = urlsplit(address)
        plain = not (parts.query or parts.fragment or parts.username or parts.password) and "," not in address
        if parts.scheme not in ("http", "https") or not has_host(parts) or not plain:
            raise SpecError((*path, "url"), f"{address!r}: expected http://HOST[:PORT] or https://HOST[:PORT]")


def has_host(parts: SplitResult) -> bool:
    """Whether an address has a host, and no port that cannot be one."""
    try:
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_path(value: str | None, path: KeyPath) -> None:
    if value is not None and not re.fullmatch(r"/[!-~]*", value):
        raise SpecError(path, f"{value!r}: expected a path that begins with a slash, such as /{path[-1]}")


def _check_prediction(given: str | None, path: KeyPath) -> None:
    try:
        parse_path(given or "$")
    except Invalid as error:
        raise SpecError(path, error.message) from None


def check_headers(headers: HeadersSpec, path: KeyPath) -> None:
    """Raises SpecError."""
    for name, value in headers.items():
        here = (*path, "headers", name)
        if not _HEADER.fullmatch(name) or name.lower() in _FORBIDDEN_HEADERS:
            raise SpecError(here, "is not a header that can be set")
        if isinstance(value, str) and not re.fullmatch(r"[ -~]*", value):
            raise SpecError(here, "the value has characters that a header may not have")
        if not isinstance(value, str) and not re.fullmatch(value_types.NAME, value.secret):
            raise SpecError((*here, "secret"), f"{value.secret!r}: expected 1 to 63 letters, digits and hyphens")


def build_headers(headers: HeadersSpec) -> dict[str, str | SecretReference]:
    return {name: one if isinstance(one, str) else SecretReference(one.secret) for name, one in headers.items()}


def render_headers(headers: Mapping[str, str | SecretReference]) -> dict[str, Any]:
    """The inverse of ``build_headers``, as plain data."""
    return {name: asdict(one) if isinstance(one, SecretReference) else one for name, one in headers.items()}


def check_scaling(desired: DesiredDeployment) -> None:
    """Check that autoscaling adds to what serves the models. Raises SpecError."""
    if desired.autoscaling is not None and all(
        one.service for model in desired.models for one in model.containers
    ):
        raise SpecError(
            ("autoscaling",),
            "a service that runs already is not scaled from here: instances only forward requests to it, so give"
            " 'instances' if one forwards too few",
        )


def addresses(model: structures.ModelSpec) -> list[str]:
    """Return the addresses of a service."""
    if model.url is None:
        return []
    return [model.url] if isinstance(model.url, str) else model.url


def image_name(model: structures.ModelSpec) -> str:
    """Return the image of a checked model."""
    if model.url is not None:
        return SERVICE_IMAGE
    return model.image if model.container is None else model.container


def upstream(model: structures.ModelSpec) -> Upstream | None:
    """Return how the server of a checked model is reached; None for tidegate's own runtimes."""
    if model.container is None and model.url is None:
        return None
    return Upstream(
        url=",".join(addresses(model)),
        port=model.port or 0,
        health=model.health or "",
        predict=model.predict or "",
        arguments=tuple(model.arguments),
        headers=build_headers(model.headers),
        protocol=Protocol(model.protocol),
        prediction=model.prediction or "",
    )


def render_upstream(image: str, given: Upstream) -> dict[str, Any]:
    """Render how a server is reached as the keys of a model, without defaults."""
    urls = given.url.split(",")
    made: dict[str, Any] = {"url": urls if len(urls) > 1 else given.url} if given.url else {"container": image}
    for key in ("port", "health", "predict", "prediction"):
        made |= {key: getattr(given, key)} if getattr(given, key) else {}
    made |= {"arguments": list(given.arguments)} if given.arguments else {}
    made |= {"headers": render_headers(given.headers)} if given.headers else {}
    return made if given.protocol is Protocol.SAGEMAKER else {**made, "protocol": given.protocol.value}
