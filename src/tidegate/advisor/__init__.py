"""Former names of ``features.planner``, ``features.cost`` and ``prices``, which programs of users may import. They
work for one more release, with a warning."""

import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from tidegate.host.late_import import load_module

PRESENT = {
    "planner": "tidegate.features.planner",
    "cost": "tidegate.features.cost",
    "prices": "tidegate.prices",
}
"""By the former name below ``tidegate.advisor``."""


class _FormerName(MetaPathFinder, Loader):
    """Finds a module by its former name, with everything that the module with the present name has."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if _present_name(fullname) else None

    def exec_module(self, module: ModuleType) -> None:
        present = _present_name(module.__name__)
        assert present is not None
        warnings.warn(f"{module.__name__} is now {present}", DeprecationWarning, stacklevel=2)
        facade = "tidegate.features.planner.planning" if module.__name__ == f"{__name__}.planner" else present
        found = vars(load_module(facade))
        vars(module).update({name: value for name, value in found.items() if not name.startswith("__")})


def _present_name(name: str) -> str | None:
    first, _, rest = name.removeprefix(f"{__name__}.").partition(".")
    if not name.startswith(f"{__name__}.") or first not in PRESENT:
        return None
    return f"{PRESENT[first]}.{rest}" if rest else PRESENT[first]


sys.meta_path.append(_FormerName())
