"""Imports a library of trees without the packages that it takes along only where they happen to be installed.

XGBoost and LightGBM import scikit-learn, and with it pandas and SciPy's statistics, for the sake of classes that a
built-in runtime never touches: three quarters of the time and more than half of the memory of the start of a worker.
Once a model comes that may need those classes (a script, a pickled pipeline), the library is imported anew, whole.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Lock
from types import ModuleType

from tidegate.serving.contract.images import RuntimeKind

COMPANIONS = ("sklearn", "pandas", "pyarrow", "matplotlib", "graphviz", "dask")
"""What the libraries import where it is there."""
_LIBRARIES = {
    RuntimeKind.XGBOOST: ("xgboost", COMPANIONS[:1]),
    RuntimeKind.SHAP: ("xgboost", COMPANIONS[:1]),
    RuntimeKind.LIGHTGBM: ("lightgbm", COMPANIONS),
}
"""The library of a runtime, and what it is imported without."""


class Imports:
    """The imports of one process. Loads may come from several threads; one imports at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lean: set[str] = set()
        self._whole = False
        """A model is here that may need whole libraries."""

    def runtime(self, kind: RuntimeKind) -> ModuleType:
        """The module of a runtime, with its library. Raises what the module raises: ArtifactError for a missing
        library."""
        with self._lock:
            if kind not in _LIBRARIES:
                self._restore()
            elif not self._whole:
                self._import(*_LIBRARIES[kind])
            return import_module(f"{__package__}.{kind.value}")

    def _import(self, library: str, companions: Sequence[str]) -> None:
        if library not in sys.modules:
            with suppress(ImportError), hidden(companions):
                import_module(library)
                self._lean.add(library)

    def _restore(self) -> None:
        """The next import of a library is whole. What was made with the lean one goes on with it."""
        self._whole = True
        for name in list(sys.modules):
            if name.partition(".")[0] in self._lean:
                del sys.modules[name]
        self._lean.clear()


@contextmanager
def hidden(names: Sequence[str]) -> Iterator[None]:
    """As if these packages were not installed; those that are imported already stay."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


IMPORTS = Imports()
