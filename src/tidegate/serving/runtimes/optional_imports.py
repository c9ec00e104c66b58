"""Imports the modules of runtimes by name, XGBoost and LightGBM without their optional dependencies.

This is the one place that imports modules of our own by name: a worker must import only the runtime that it serves,
and the catalogue has its name.

XGBoost and LightGBM import scikit-learn, and with it pandas and SciPy's statistics, for classes that a built-in
runtime never uses: three quarters of the time and more than half of the memory of a worker's start. When a model
arrives that may need those classes (a script, a pickled pipeline), the library is imported again with everything.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from types import ModuleType

from tidegate.host.late_import import load_module
from tidegate.serving.contract.catalogue import RuntimeKind


class _RuntimeLoader:
    """The imports of one process. Models may be loaded from several threads; one thread imports at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reduced: set[str] = set()
        """Libraries that were imported without their optional dependencies."""
        self._complete = False
        """A model is here that may need complete libraries."""

    def load_module(self, kind: RuntimeKind) -> ModuleType:
        """The module of a runtime, with its library. Raises what the module raises: ArtifactError for a missing
        library."""
        descriptor = kind.descriptor
        with self._lock:
            if not descriptor.library:
                self._require_complete()
            elif not self._complete:
                self._import_reduced(descriptor.library, descriptor.optional_packages)
            return load_module(f"{__package__}.{descriptor.name}")

    def load_device_module(self, kind: RuntimeKind) -> ModuleType:
        """The module of a runtime on devices. Raises as ``load_module`` does."""
        self.load_module(kind)
        with self._lock:
            return load_module(f"{__package__}.devices.{kind.descriptor.name}")

    def _import_reduced(self, library: str, optional_packages: Sequence[str]) -> None:
        if library not in sys.modules:
            with suppress(ImportError), hide_packages(optional_packages):
                load_module(library)
                self._reduced.add(library)

    def _require_complete(self) -> None:
        """The next import of a library is complete. Objects of the reduced one keep using it."""
        self._complete = True
        for name in list(sys.modules):
            if name.partition(".")[0] in self._reduced:
                del sys.modules[name]
        self._reduced.clear()


@contextmanager
def hide_packages(names: Sequence[str]) -> Iterator[None]:
    """Make imports of these packages fail; packages that are imported already stay."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


LOADER = _RuntimeLoader()
