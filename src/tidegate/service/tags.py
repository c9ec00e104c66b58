"""Labels of people's own on models, configs, endpoints and alarms. They go when their resource goes."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from tidegate.domain.errors import Invalid
from tidegate.domain.registry import Tags
from tidegate.ports.store import Kind, Tx
from tidegate.service.record_kinds import TAGS, TagSet
from tidegate.service.records import require

T = TypeVar("T")

MAX_TAGS = 50
"""Tags on one resource."""
RESERVED_PREFIX = "aws:"


def add(tx: Tx, kind: Kind[T], name: str, tags: Tags, now: datetime) -> Tags:
    """Merges into what is there and gives all of them back; raises Invalid or NotFound."""
    require(tx, kind, name)
    merged = {**read(tx, kind, name), **tags}
    reserved = sorted(key for key in tags if key.lower().startswith(RESERVED_PREFIX))
    if reserved:
        raise Invalid(
            f'tag "{reserved[0]}": keys that begin with {RESERVED_PREFIX} are reserved; choose another key'
        )
    if len(merged) > MAX_TAGS:
        raise Invalid(
            f'{kind.name} "{name}" would have {len(merged)} tags; {MAX_TAGS} is the most: remove some first'
        )
    if tags:
        tx.put(TAGS, _key(kind, name), TagSet(merged), expect=None, now=now)
    return merged


def read(tx: Tx, kind: Kind[T], name: str) -> Tags:
    saved = tx.get(TAGS, _key(kind, name))
    return saved.body.tags if saved else {}


def remove(tx: Tx, kind: Kind[T], name: str, keys: Iterable[str], now: datetime) -> None:
    """Keys that are not there are no error; raises NotFound for the resource."""
    require(tx, kind, name)
    gone = set(keys)
    left = {key: value for key, value in read(tx, kind, name).items() if key not in gone}
    tx.put(TAGS, _key(kind, name), TagSet(left), expect=None, now=now)


def drop(tx: Tx, kind: Kind[T], name: str, now: datetime) -> None:
    """Removes all of a resource that goes."""
    tx.delete(TAGS, _key(kind, name), expect=None, now=now)


def _key(kind: Kind[T], name: str) -> str:
    return f"{kind.name}/{name}"
