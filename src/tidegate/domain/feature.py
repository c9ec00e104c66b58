"""The manifest of a feature: what it adds to the platform, by name, so that nothing is imported before it is used.

A reference is ``module:attribute``; a module that begins with a dot is relative to the package of the feature. The
loader is ``host/features.py``; docs/dev/features.md is the guide.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.domain.access import Access

Reference = str
"""``module:attribute``."""


@dataclass(frozen=True)
class CommandEntry:
    """A command of ``tidegate``. ``help`` is the first line of its docstring, 60 characters at most, so that it fits
    80 columns; ``task`` is the heading under which ``tidegate --help`` lists it."""

    name: str
    reference: Reference
    """A function, or the Typer application of a group of commands."""
    help: str
    task: str = ""


@dataclass(frozen=True)
class NativeRoute:
    """An operation of tidegate's own API below ``/tidegate/v1``. The handler is a coroutine function of the gateway
    and the request; it is imported with the first request for it."""

    method: str
    path: str
    handler: Reference
    access: Access


@dataclass(frozen=True)
class Loop:
    """Work in the background. ``make`` is a function of ``compose.background.Services`` that returns an object with a
    coroutine ``turn()``, which runs every ``seconds``, and perhaps one ``stop()``. ``kind``: the turn is left out
    while there is no record of this kind."""

    make: Reference
    seconds: float = 1.0
    kind: Reference = ""


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One feature. ``name`` is also the name of its package in ``tidegate.features``."""

    name: str
    summary: str
    """One line for ``tidegate version --features`` and the documentation."""
    page: str = ""
    """Its page, below ``docs/``."""
    needs: tuple[str, ...] = ()
    """Other features that it imports. A feature is off if one that it needs is off."""
    sections: tuple[str, ...] = ()
    """Keys at the top of a spec file that are refused while the feature is off."""
    operations: Mapping[str, tuple[Reference, ...]] = field(default_factory=dict)
    """Operations of AWS's APIs, by the name of the service: references to ``wire.operation.Operations``."""
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Members of operations of the core that are refused while the feature is off: ``service:operation`` -> names."""
    notes: Reference = ""
    """``wire.member_notes.OperationNotes``: how members of these operations are treated that are not served."""
    kinds: Reference = ""
    """A tuple of ``ports.store.Kind``: the records that it keeps."""
    routes: tuple[NativeRoute, ...] = ()
    pages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Pages of the console and what belongs to them: path -> methods."""
    tabs: tuple[tuple[int, str, str], ...] = ()
    """Of the page of each endpoint: place, path below that page, and title."""
    page_routes: Reference = ""
    """A function of ``console.page_context.PageContext`` that returns the guarded routes of these paths. It is
    imported with the first request for one of them."""
    commands: tuple[CommandEntry, ...] = ()
    loops: tuple[Loop, ...] = ()
    hooks: Mapping[str, Reference] = field(default_factory=dict)
    """By the name of an extension point of the core: what the feature has for it. ``host/features.py`` lists the
    points."""
