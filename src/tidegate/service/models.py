"""Use cases of models, which are immutable."""

from collections.abc import Callable
from datetime import datetime

from tidegate.domain.errors import Invalid
from tidegate.domain.registry import MULTI_MODEL, ContainerDefinition, Model, Tags
from tidegate.ports.store import Filter, RecordPage, StoredRecord, Tx
from tidegate.service import tags as labels
from tidegate.service.record_kinds import MODEL
from tidegate.service.records import require, require_free

MAX_CONTAINERS = 15


def create_model(
    tx: Tx, model: Model, tags: Tags, *, runnable: Callable[[ContainerDefinition], None], now: datetime
) -> None:
    """Raises AlreadyExists, or Invalid for a container that ``runnable`` refuses."""
    require_free(tx, MODEL, model.name)
    check(model, runnable)
    tx.put(MODEL, model.name, model, expect=0, now=now)
    labels.add(tx, MODEL, model.name, tags, now)


def check(model: Model, runnable: Callable[[ContainerDefinition], None]) -> None:
    """Raises Invalid for a model that this server cannot run."""
    if not model.containers:
        raise Invalid(f'model "{model.name}" has no container: give it one')
    if len(model.containers) > MAX_CONTAINERS:
        raise Invalid(
            f'model "{model.name}" has {len(model.containers)} containers; the maximum is {MAX_CONTAINERS}'
        )
    _check_names(model)
    if model.multi_model:
        _check_multi_model(model)
    for container in model.containers:
        runnable(container)


def _check_multi_model(model: Model) -> None:
    if len(model.containers) > 1:
        raise Invalid(f'model "{model.name}": Mode {MULTI_MODEL} needs exactly one container')
    url = model.containers[0].data_url
    if url is None:
        raise Invalid(
            f'model "{model.name}": Mode {MULTI_MODEL} needs model data, the folder or prefix that models lie under'
        )
    if url.endswith((".tar.gz", ".tgz")):
        raise Invalid(
            f'model "{model.name}": with Mode {MULTI_MODEL} the model data is the folder or prefix that models lie'
            f" under, and '{url}' is one model; leave its name to the requests"
        )


def _check_names(model: Model) -> None:
    """Container names must be unique. In Direct mode clients use them, so they must be given."""
    if model.execution_mode == "Direct" and not all(each.hostname for each in model.containers):
        raise Invalid("InferenceExecutionConfig Mode Direct: every container needs a ContainerHostname")
    names = model.container_names
    for name in names:
        if names.count(name) > 1:
            raise Invalid(f"ContainerHostname '{name}' is given to several containers: every name must be unique")


def get_model(tx: Tx, name: str) -> StoredRecord[Model]:
    return require(tx, MODEL, name)


def list_models(tx: Tx, where: Filter, limit: int, after: str | None) -> RecordPage[Model]:
    return tx.find(MODEL, where, limit, after)


def delete_model(tx: Tx, name: str, now: datetime) -> None:
    """Endpoints that run the model are not affected: they have a copy."""
    saved = require(tx, MODEL, name)
    tx.delete(MODEL, name, expect=saved.version, now=now)
    labels.drop(tx, MODEL, name, now)
