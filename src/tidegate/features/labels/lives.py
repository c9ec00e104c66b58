"""From when on a config answered: each time that it served or was tried is a life of its own. Pure.

A config may serve again months later, be tried again, or have belonged to an endpoint of the same name that was
removed. What it answered then says nothing of how good it is now."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tidegate.domain.history import History
from tidegate.features.labels.ledger import SKEW, AnsweringVersion

Lives = Mapping[str, Sequence[float]]
"""Config -> epoch seconds at which its lives began, oldest first."""


@dataclass(frozen=True)
class VersionLife:
    """``current``: the last one of its config; an earlier one has ended."""

    version: AnsweringVersion
    current: bool


def find_lives(history: History) -> Lives:
    found: dict[str, list[float]] = {}
    for entry in history.begun:
        found.setdefault(entry.version.config_name, []).append(entry.began_at.timestamp())
    return {config: sorted(began) for config, began in found.items()}


def split_lives(version: AnsweringVersion, lives: Lives) -> Iterator[VersionLife]:
    """The lives of one version, the last one first. What it answered before the first one that is known is one that
    has ended, and so is all of a config of which none is known. Clocks of hosts differ, so each begins a little
    earlier than it is said to."""
    until = version.until
    for number, began in enumerate(reversed(lives.get(version.config, ()))):
        yield VersionLife(replace(version, since=began - SKEW, until=until), number == 0)
        until = began - SKEW
    yield VersionLife(replace(version, until=until), False)
