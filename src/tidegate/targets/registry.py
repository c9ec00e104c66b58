"""The targets there are: one line for each."""

from collections.abc import Callable, Mapping

from tidegate.ports.target import Provider
from tidegate.targets.context import TargetContext
from tidegate.targets.local.provider import provide_local

PROVIDERS: Mapping[str, Callable[[TargetContext], Provider]] = {
    "local": provide_local,
}
DEFAULT = "local"
