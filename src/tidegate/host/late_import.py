"""Imports by name, when something is used that most starts do not need.

``cli/commands.py`` and ``compose/late.py`` say what they import so, and why.
"""

from importlib import import_module
from typing import Any


def load(module: str, attribute: str) -> Any:
    """An attribute of a module that is imported now."""
    return getattr(import_module(module), attribute)
