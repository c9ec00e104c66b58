"""Lookups shared by the use cases of all kinds of records, with uniform errors."""

from collections.abc import Iterator
from typing import TypeVar

from tidegate.domain.errors import AlreadyExists, NotFound, UnreadableRecord
from tidegate.ports.store import Kind, StoredRecord, Tx, Unreadable

T = TypeVar("T")

_NOUNS = {
    "config": "endpoint configuration",
    "package-group": "model package group",
    "package": "model package",
}


def require(tx: Tx, kind: Kind[T], name: str) -> StoredRecord[T]:
    """The record; raises NotFound."""
    saved = tx.get(kind, name)
    if saved is None:
        raise NotFound(f'there is no {_noun(kind)} "{name}"', about=(kind.name, name))
    return saved


def require_free(tx: Tx, kind: Kind[T], name: str) -> None:
    """Raises AlreadyExists if the name is taken."""
    if tx.get(kind, name) is not None:
        raise AlreadyExists(f'there is already a {_noun(kind)} "{name}"', about=(kind.name, name))


def read_if_readable(tx: Tx, kind: Kind[T], name: str) -> StoredRecord[T] | None:
    """The record, for what goes on without one that cannot be read; None tells nothing about its absence."""
    try:
        return tx.get(kind, name)
    except UnreadableRecord:
        return None


def mentions(tx: Tx, unreadable: Unreadable, text: str) -> bool:
    """Whether a record that cannot be read has this text as a value or a key; true if even its
    text cannot be read, so that nothing that may be in use is removed."""
    try:
        saved = tx.get(Kind(unreadable.kind, object), unreadable.name)
    except UnreadableRecord:
        return True
    return saved is not None and text in _texts(saved.body)


def _texts(body: object) -> Iterator[str]:
    left = [body]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            left += one


def _noun(kind: Kind[T]) -> str:
    return _NOUNS.get(kind.name, kind.name)
