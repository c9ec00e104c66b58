"""Modules that a model brings, of which another model in this process may have some of the same names.

A module is in ``sys.modules`` under its plain name where that is free, so a model that is alone in its process finds
Python as it knows it. Where the name is another model's, that one keeps it, and this model finds its own by an
``__import__`` of its own: at the top of a file as well as in a function. While a model is loaded its modules have
their names to themselves, for what looks them up there: pickles, dataclasses, ``importlib``.
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
"""Held while names are somebody's alone."""
_folders: set[str] = set()
"""Where models of this process have their modules."""
_numbers = count(2)


class OwnModules:
    """Of the files in ``folder``, which may be missing."""

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
        """While it lasts, the names are this model's. Others that enter wait."""
        with _turn:
            if self._inside:
                yield
                return
            self._inside = True
            hidden = self._hide()
            sys.modules.update(self._loaded)
            sys.meta_path.insert(0, self)  # a finder needs no more than find_spec
            try:
                yield
            finally:
                sys.meta_path.remove(self)
                self._inside = False
                self._leave(hidden)

    def file(self, path: Path) -> ModuleType:
        """The module in one of the files, under its own name where no installed module has that: pickles name the
        modules of their classes. Raises whatever its code raises."""
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
        """What ``sys.meta_path`` asks while the names are this model's."""
        if name.partition(".")[0] not in self._names:
            return None
        spec = PathFinder.find_spec(name, [self._folder] if path is None else path)
        if spec is None:
            return None
        if isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path, self._builtins)
        elif spec.submodule_search_locations is not None:
            # A folder without __init__.py: Python would look for further parts of it in other models' folders.
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
        """``__import__`` of the code in these modules."""
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
        """Takes from ``sys.modules`` what others have there under names of this model's."""
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
        """Others get their names back, but for what an earlier load of this folder or a model that is gone left."""
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
    """Gives a module these builtins."""

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
