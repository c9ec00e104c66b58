"""Imports by name, when something is used that most starts do not need: the one place that does so.

``cli/commands.py`` and the manifests of features name what they import so.
"""

from importlib import import_module
from types import ModuleType
from typing import Any


def load(module: str, attribute: str) -> Any:
    """An attribute of a module that is imported now."""
    return getattr(load_module(module), attribute)


def load_module(name: str) -> ModuleType:
    """A module that is imported now. Raises ImportError."""
    return import_module(name)
