"""Rules that features add to the public frontend of HAProxy's configuration."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidegate.host.features import features

if TYPE_CHECKING:
    from tidegate.proxy.options import Options

HOOK = "proxy_rules"
"""Extension point: a function of ``Options`` that returns ``FurtherRules``."""


@dataclass(frozen=True)
class FurtherRules:
    """Lines of the configuration. ``rules`` come after those by which most requests leave, so that these do not pay
    for them; what they find in the map of routes they leave in ``txn.routes``."""

    binds: str = ""
    rules: str = ""
    backends: str = ""
    prefixes: tuple[str, ...] = ()
    """Beginnings of the paths of predictions, beside ``/endpoints/``."""


NO_RULES = FurtherRules()


def find_rules(options: "Options") -> FurtherRules:
    """Join the rules of all features that have some."""
    found = [make(options) for _, make in features().hooks(HOOK)]
    return FurtherRules(
        "".join(one.binds for one in found),
        "".join(one.rules for one in found),
        "".join(one.backends for one in found),
        tuple(prefix for one in found for prefix in one.prefixes),
    )
