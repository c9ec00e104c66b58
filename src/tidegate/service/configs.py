"""Endpoint configs: immutable wishes that an endpoint is created from or updated to."""

from collections.abc import Iterable
from datetime import datetime

from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.endpoint import EndpointConfig
from tidegate.domain.errors import Invalid, LimitExceeded
from tidegate.domain.fleet import Serverless
from tidegate.domain.registry import Tags
from tidegate.ports.store import Filter, Page, Saved, Tx
from tidegate.queueing import destinations
from tidegate.service import tags as labels
from tidegate.service.record_kinds import CONFIG, MODEL
from tidegate.service.records import require, require_free

MAX_INSTANCES = 1000
"""Of one variant. Each is a process of this machine: a larger number is a slip that would bring it down."""


def create_config(tx: Tx, config: EndpointConfig, tags: Tags, now: datetime) -> None:
    """Raises AlreadyExists, Invalid, LimitExceeded, or NotFound for a model that is not there."""
    require_free(tx, CONFIG, config.name)
    check(config)
    for variant in (*config.variants, *config.shadows):
        model = require(tx, MODEL, variant.model_name).body
        if variant.serverless is not None and model.multi_model:
            raise Invalid(f'variant "{variant.name}" serves many models, which a serverless one cannot')
        if variant.serverless is not None and len(model.containers) > 1:
            raise Invalid(f'variant "{variant.name}" has several containers, which a serverless one cannot')
        if config.asynchronous is not None and model.multi_model:
            raise Invalid(f'variant "{variant.name}" serves many models, which an asynchronous one cannot')
        if config.shadows and model.multi_model:
            raise Invalid(
                f'variant "{variant.name}" serves many models: such a config cannot have a shadow variant'
            )
    tx.put(CONFIG, config.name, config, expect=0, now=now)
    labels.add(tx, CONFIG, config.name, tags, now)


def check(config: EndpointConfig) -> None:
    """Raises Invalid or LimitExceeded for a config that could never serve."""
    if not config.variants:
        raise Invalid(f'endpoint configuration "{config.name}" has no variant: give it one')
    if config.shadows and (len(config.variants), len(config.shadows)) != (1, 1):
        raise Invalid(
            f'endpoint configuration "{config.name}" has {len(config.variants)} production and'
            f" {len(config.shadows)} shadow variants: a shadow goes with one production variant"
        )
    every = (*config.variants, *config.shadows)
    twice = _find_duplicate(variant.name for variant in every)
    if twice:
        raise Invalid(f'variant "{twice}" is there twice: variant names are unique within a config')
    asleep = next((shadow.name for shadow in config.shadows if shadow.serverless is not None), None)
    if asleep is not None:
        raise Invalid(f'shadow variant "{asleep}" cannot be serverless: give it instances')
    if config.shadows and config.asynchronous is not None:
        raise Invalid(f'endpoint configuration "{config.name}" is asynchronous: it cannot have a shadow variant')
    if config.serverless and config.asynchronous is not None:
        raise Invalid(f'endpoint configuration "{config.name}" is both serverless and asynchronous: choose one')
    if config.serverless and len(every) > 1:
        raise Invalid(f'endpoint configuration "{config.name}" is serverless, which goes with one variant only')
    for variant in every:
        if variant.serverless is not None:
            _check_bounds(variant.name, variant.serverless)
        if variant.instance_count < 1:
            raise Invalid(f'variant "{variant.name}" has no instances: its count must be at least 1')
        check_count(variant.name, variant.instance_count)
    check_weights({variant.name: variant.weight for variant in config.variants})
    if config.asynchronous is not None:
        check_asynchronous(config.asynchronous)


def check_asynchronous(config: AsyncConfig) -> None:
    """Raises Invalid for an address that nothing can be put to, or a receiver that nothing can be told."""
    destinations.check_address(config.output, "the output path")
    if config.failure is not None:
        destinations.check_address(config.failure, "the failure path")
    for sink in (*config.success, *config.error):
        destinations.check_sink(sink, "the notification")


def _check_bounds(variant: str, bounds: Serverless) -> None:
    """Raises Invalid."""
    if bounds.memory < 1 or bounds.max_concurrency < 1 or bounds.per_instance < 1 or bounds.idle_after <= 0:
        raise Invalid(f'variant "{variant}": memory, concurrency and idle time must be above 0')
    if not 0 <= bounds.provisioned <= bounds.max_concurrency:
        raise Invalid(
            f'variant "{variant}": a provisioned concurrency of {bounds.provisioned} must not exceed the most there'
            f" may be, {bounds.max_concurrency}"
        )


def check_count(variant: str, count: int) -> None:
    """Raises LimitExceeded."""
    if count > MAX_INSTANCES:
        raise LimitExceeded(
            f'variant "{variant}" with {count} instances: {MAX_INSTANCES} is the most there may be'
        )


def check_weights(weights: dict[str, float]) -> None:
    """Raises Invalid unless somebody takes the requests."""
    total = sum(weights.values())
    if not 0 < total < float("inf"):
        raise Invalid(f"the weights of {', '.join(weights)} sum to {total:g}: one at least must be above 0")


def get_config(tx: Tx, name: str) -> Saved[EndpointConfig]:
    return require(tx, CONFIG, name)


def list_configs(tx: Tx, where: Filter, limit: int, after: str | None) -> Page[EndpointConfig]:
    return tx.find(CONFIG, where, limit, after)


def delete_config(tx: Tx, name: str, now: datetime) -> None:
    """Endpoints that run it go on: they have a copy, and clients delete the config before the endpoint."""
    saved = require(tx, CONFIG, name)
    tx.delete(CONFIG, name, expect=saved.version, now=now)
    labels.drop(tx, CONFIG, name, now)


def _find_duplicate(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
