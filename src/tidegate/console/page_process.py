"""Computes what pages show, in a process of its own (``python -m tidegate.console.page_process``), since it takes
seconds of processor time and may be killed at any moment.

Reads one question as JSON from stdin. ``{"function": "module:name", "data": {...}, "now": ...}`` is answered by
``{"answer": ...}`` or ``{"error": ...}``. ``{"prices": folder or null, "now": ...}`` asks for all that pages show
when they are first opened: each result is a line ``[function, data, priced, result]`` as soon as it is there. Work
that fails is left out: its page computes it again, and says why it fails.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tidegate.domain.errors import TidegateError
from tidegate.host.features import features, load_reference
from tidegate.prices import Catalogue

NICENESS, LAST_NICENESS = 10, 19
"""Niceness, so that serving processes have precedence; that of what nobody has asked for."""


@dataclass(frozen=True)
class PageWork:
    """Work for a page as it is opened by a link. ``function`` is at the top of its module; it is given ``data``, and
    the prices (``Catalogue``), or where it is not ``priced`` the time (``datetime``)."""

    function: Callable[[Mapping[str, Any], Any], Any]
    data: Mapping[str, Any]
    priced: bool = True


def name_function(function: Callable[..., Any]) -> str:
    """Return the reference of a function: ``module:name``."""
    return f"{function.__module__}:{function.__qualname__}"


def list_first_work() -> list[PageWork]:
    """Return the work of all features, that in which nothing is simulated first, since it takes the least time."""
    found: list[PageWork] = [one for _, list_work in features().hooks("page_work") for one in list_work()]
    return sorted(found, key=lambda one: not one.priced)


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    os.nice(NICENESS)
    try:
        work = load_reference(asked["function"])
        return {"answer": work(asked["data"], datetime.fromisoformat(asked["now"]))}
    except TidegateError as error:
        return {"error": error.message}


def compute_ahead(asked: Mapping[str, Any]) -> None:
    """Compute with only the processor time that nobody else wants."""
    os.nice(LAST_NICENESS)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    catalogue = Catalogue.load(None if asked["prices"] is None else Path(asked["prices"]))
    now = datetime.fromisoformat(asked["now"])
    for one in list_first_work():
        try:
            result = one.function(one.data, catalogue if one.priced else now)
        except TidegateError:
            continue
        print(json.dumps([name_function(one.function), one.data, one.priced, result]), flush=True)


def main() -> None:
    asked = json.load(sys.stdin)
    if "function" in asked:
        json.dump(answer(asked), sys.stdout)
    else:
        compute_ahead(asked)


if __name__ == "__main__":
    main()
