"""What the use cases of every kind of record share: there or not there, said in one form."""

from typing import TypeVar

from tidegate.domain.errors import AlreadyExists, NotFound
from tidegate.ports.store import Kind, Saved, Tx

T = TypeVar("T")

_NOUNS = {
    "config": "endpoint configuration",
    "package-group": "model package group",
    "package": "model package",
}


def require(tx: Tx, kind: Kind[T], name: str) -> Saved[T]:
    """The record; raises NotFound."""
    saved = tx.get(kind, name)
    if saved is None:
        raise NotFound(f'there is no {_noun(kind)} "{name}"', about=(kind.name, name))
    return saved


def require_free(tx: Tx, kind: Kind[T], name: str) -> None:
    """Raises AlreadyExists when the name is taken."""
    if tx.get(kind, name) is not None:
        raise AlreadyExists(f'there is already a {_noun(kind)} "{name}"', about=(kind.name, name))


def _noun(kind: Kind[T]) -> str:
    return _NOUNS.get(kind.name, kind.name)
