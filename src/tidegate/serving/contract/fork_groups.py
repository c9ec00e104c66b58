"""Which fork server forks which worker. Pure.

Runtimes whose libraries are small share one (``TABLES``); a large library has one of its own, which runs only where a
model needs it. So a library that cannot be imported, or that starts a thread when it is, takes no other runtime with
it.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.runtime import TABLES

GROUPS = tuple(dict.fromkeys((TABLES, *(kind.descriptor.fork_group for kind in RuntimeKind))))
THREADS = 4
"""Exit code of a fork server: a library started a thread when it was imported, so nothing can be forked."""
_ENDINGS = {ending: kind.descriptor.fork_group for kind in RuntimeKind for ending in kind.descriptor.certain_files}


def kinds_of(group: str) -> tuple[RuntimeKind, ...]:
    return tuple(kind for kind in RuntimeKind if kind.descriptor.fork_group == group)


def choose_group(containers: Iterable[tuple[RuntimeKind, str]]) -> str:
    """The group that forks a worker of these containers, each with its runtime and the address of its model data: the
    first one of a large library, which would take longest to import. Where the model data choose the runtime, their
    name says it, if it is a file's; other files are known only to the worker."""
    groups = [_group(kind, address) for kind, address in containers]
    return next((group for group in groups if group != TABLES), TABLES)


def _group(kind: RuntimeKind, address: str) -> str:
    if kind is not RuntimeKind.AUTO:
        return kind.descriptor.fork_group
    name = PurePosixPath(address).name
    return _ENDINGS.get(name, _ENDINGS.get(PurePosixPath(name).suffix, TABLES))
