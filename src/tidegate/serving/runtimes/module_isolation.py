"""Isolates the Python modules of models in one process, which may have the same names.

A module is in ``sys.modules`` under its plain name if that is free, so for a single model nothing is different. If
another model has the name, that model keeps it, and this model's code imports its own module through an
``__import__`` of its own, at the top of a file or in a function. While a model is loaded its modules own their
names, for lookups by pickles, dataclasses and ``importlib``.
"""

import builtins
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from itertools import count
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any

_turn = RLock()
"""Held while a model owns its names."""
_folders: set[str] = set()
"""Module folders of the models in this process."""
_numbers = count(2)


class IsolatedModules:
    """The modules of the files in ``folder``, which need not exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        names = {path.name.partition(".")[0] for path in folder.iterdir()} if folder.is_dir() else set()
        self._names = frozenset(names)
        self._loaded: dict[str, ModuleType] = {}
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._inside = False
        _folders.add(self._folder)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Own the names during the body. Other models wait."""
        with _turn:
            if self._inside:
                yield
                return
            self._inside = True
            hidden = self._hide()
            sys.modules.update(self._loaded)
            sys.meta_path.insert(0, self)  # find_spec is all that a finder needs
            try:
                yield
            finally:
                sys.meta_path.remove(self)
                self._inside = False
                self._leave(hidden)

    def file(self, path: Path) -> ModuleType:
        """Import one of the files, under its own name if no installed module has it, because pickles name the modules
        of their classes. Raises whatever its code raises."""
        with self.entered():
            name = path.stem if path.stem not in sys.modules else f"{path.stem}_{next(_numbers)}"
            loader = _Loader(name, str(path), self._builtins)
            spec = importlib.util.spec_from_file_location(name, path, loader=loader)
            assert spec is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            try:
                loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
            return module

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Called by ``sys.meta_path`` while this model owns the names."""
        if name.partition(".")[0] not in self._names:
            return None
        spec = PathFinder.find_spec(name, [self._folder] if path is None else path)
        if spec is None:
            return None
        if isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path, self._builtins)
        elif spec.submodule_search_locations is not None:
            # A folder without __init__.py: Python would search other models' folders for further parts of it.
            spec.submodule_search_locations = list(spec.submodule_search_locations)
        return spec

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        """The ``__import__`` of these modules' code."""
        whole = name
        if level:
            package = str((globals or {}).get("__package__") or "")
            whole = importlib.util.resolve_name("." * level + name, package) if package else ""
        top = whole.partition(".")[0]
        if top not in self._names:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        found = self._loaded.get(whole)
        if found is not None and all(hasattr(found, each) for each in fromlist or ()):
            return found if fromlist else self._loaded[top]
        with self.entered():
            return builtins.__import__(name, globals, locals, fromlist or (), level)

    def _hide(self) -> dict[str, ModuleType]:
        """Remove other models' modules with names of this model from ``sys.modules``."""
        hidden = {}
        for name, module in list(sys.modules.items()):
            if (
                name.partition(".")[0] in self._names
                and self._loaded.get(name) is not module
                and _of_a_model(module)
            ):
                hidden[name] = sys.modules.pop(name)
        return hidden

    def _leave(self, hidden: Mapping[str, ModuleType]) -> None:
        """Restore the names of other models, except those of an earlier load of this folder or of an unloaded
        model."""
        own = f"{self._folder}{os.sep}"
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in self._names and _origin(module).startswith(own):
                self._loaded[name] = module
        living = {name: each for name, each in hidden.items() if _lives(each, own)}
        theirs = {name.partition(".")[0] for name in living}
        for name in self._loaded:
            if name.partition(".")[0] in theirs:
                sys.modules.pop(name, None)
        sys.modules.update(living)


class _Loader(SourceFileLoader):
    """Loads a module with these builtins."""

    def __init__(self, name: str, path: str, given: dict[str, Any]) -> None:
        super().__init__(name, path)
        self._given = given

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._given
        super().exec_module(module)


def _origin(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")


def _of_a_model(module: ModuleType) -> bool:
    origin = _origin(module)
    return any(origin.startswith(f"{folder}{os.sep}") for folder in _folders)


def _lives(module: ModuleType, own: str) -> bool:
    origin = _origin(module)
    return not origin.startswith(own) and os.path.exists(origin)
