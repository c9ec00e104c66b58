"""Use cases of endpoint configs, which are immutable; endpoints are created from or updated to one."""

from collections.abc import Iterable
from datetime import datetime

from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.capture import check_capture
from tidegate.domain.endpoint import EndpointConfig
from tidegate.domain.errors import Invalid, LimitExceeded
from tidegate.domain.fleet import Serverless
from tidegate.domain.registry import Tags
from tidegate.ports.store import Filter, RecordPage, StoredRecord, Tx
from tidegate.service import tags as labels
from tidegate.service.record_kinds import CONFIG, MODEL
from tidegate.service.records import require, require_free
from tidegate.storage.addresses import check_address, check_output, check_sink

MAX_INSTANCES = 1000
"""Of one variant. Each instance is a process on this machine; a larger number is a mistake that would bring it
down."""


def create_config(tx: Tx, config: EndpointConfig, tags: Tags, now: datetime) -> None:
    """Raises AlreadyExists, Invalid, LimitExceeded, or NotFound for a missing model."""
    require_free(tx, CONFIG, config.name)
    check(config)
    for variant in (*config.variants, *config.shadows):
        model = require(tx, MODEL, variant.model_name).body
        if variant.serverless is not None and model.multi_model:
            raise Invalid(f'variant "{variant.name}" is serverless and cannot have a multi-model container')
        if variant.serverless is not None and len(model.containers) > 1:
            raise Invalid(f'variant "{variant.name}" is serverless and cannot have several containers')
        if config.asynchronous is not None and model.multi_model:
            raise Invalid(f'variant "{variant.name}" is asynchronous and cannot have a multi-model container')
        if config.shadows and model.multi_model:
            raise Invalid(
                f'variant "{variant.name}" has a multi-model container: its config cannot have a shadow variant'
            )
    tx.put(CONFIG, config.name, config, expect=0, now=now)
    labels.add(tx, CONFIG, config.name, tags, now)


def check(config: EndpointConfig) -> None:
    """Raises Invalid or LimitExceeded for a config that cannot work."""
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
        raise Invalid(f'variant "{twice}" is given twice: variant names must be unique within a config')
    serverless_shadow = next((shadow.name for shadow in config.shadows if shadow.serverless is not None), None)
    if serverless_shadow is not None:
        raise Invalid(f'shadow variant "{serverless_shadow}" cannot be serverless: give it instances')
    if config.shadows and config.asynchronous is not None:
        raise Invalid(f'endpoint configuration "{config.name}" is asynchronous: it cannot have a shadow variant')
    if config.serverless and config.asynchronous is not None:
        raise Invalid(f'endpoint configuration "{config.name}" is both serverless and asynchronous: choose one')
    if config.serverless and len(every) > 1:
        raise Invalid(f'endpoint configuration "{config.name}" is serverless: it can have only one variant')
    for variant in every:
        if variant.serverless is not None:
            _check_bounds(variant.name, variant.serverless)
        if variant.instance_count < 1:
            raise Invalid(f'variant "{variant.name}" has no instances: its count must be at least 1')
        check_count(variant.name, variant.instance_count)
    check_weights({variant.name: variant.weight for variant in config.variants})
    _check_addresses(config)


def _check_addresses(config: EndpointConfig) -> None:
    """Raises Invalid."""
    if config.asynchronous is not None:
        check_asynchronous(config.asynchronous)
    if config.capture is not None:
        check_address(config.capture.destination, "the destination of data capture")
        check_capture(config.capture)


def check_asynchronous(config: AsyncConfig) -> None:
    """Raises Invalid for an unsupported output address or notification target."""
    check_output(config.output, "the output path")
    if config.failure is not None:
        check_output(config.failure, "the failure path")
    for sink in (*config.success, *config.error):
        check_sink(sink, "the notification")


def _check_bounds(variant: str, bounds: Serverless) -> None:
    """Raises Invalid."""
    if bounds.memory < 1 or bounds.max_concurrency < 1 or bounds.per_instance < 1 or bounds.idle_after <= 0:
        raise Invalid(f'variant "{variant}": memory, concurrency and idle time must be above 0')
    if not 0 <= bounds.provisioned <= bounds.max_concurrency:
        raise Invalid(
            f'variant "{variant}": a provisioned concurrency of {bounds.provisioned} must not exceed the'
            f" maximum concurrency, {bounds.max_concurrency}"
        )


def check_count(variant: str, count: int) -> None:
    """Raises LimitExceeded."""
    if count > MAX_INSTANCES:
        raise LimitExceeded(f'variant "{variant}" with {count} instances: the maximum is {MAX_INSTANCES}')


def check_weights(weights: dict[str, float]) -> None:
    """Raises Invalid unless at least one variant can take requests."""
    total = sum(weights.values())
    if not 0 < total < float("inf"):
        raise Invalid(f"the weights of {', '.join(weights)} sum to {total:g}: at least one must be above 0")


def get_config(tx: Tx, name: str) -> StoredRecord[EndpointConfig]:
    return require(tx, CONFIG, name)


def list_configs(tx: Tx, where: Filter, limit: int, after: str | None) -> RecordPage[EndpointConfig]:
    return tx.find(CONFIG, where, limit, after)


def delete_config(tx: Tx, name: str, now: datetime) -> None:
    """Endpoints that run the config are not affected: they have a copy, and clients may delete the config first."""
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
