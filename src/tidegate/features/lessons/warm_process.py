"""Works out what pages show when they are first opened, before anybody opens them. Runs in a process of its own
(``python -m tidegate.features.lessons.warm_process``) that gets only the processor time that nobody else wants.

Reads ``{"prices": folder or null, "now": ..., "pages": [[name, query], ...], "simulations": [[what, body], ...]}``
from stdin; writes each result as a line ``[place among both, from 0, result]`` once it is there. One that fails is
left out: the page works it out itself, and says why that fails.
"""

import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from tidegate.domain.errors import TidegateError
from tidegate.features.lessons.page_work import PAGE_WORK
from tidegate.features.rehearse.compute_process import compute
from tidegate.prices import Catalogue

NICENESS = 19


def main() -> None:
    os.nice(NICENESS)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    asked = json.load(sys.stdin)
    catalogue = Catalogue.load(None if asked["prices"] is None else Path(asked["prices"]))
    now = datetime.fromisoformat(asked["now"])
    work: list[Callable[[], Any]] = [
        *(lambda name=name, query=query: PAGE_WORK[name](query, catalogue) for name, query in asked["pages"]),
        *(lambda what=what, body=body: compute(what, body, now) for what, body in asked["simulations"]),
    ]
    for place, one in enumerate(work):
        try:
            print(json.dumps([place, one()]), flush=True)
        except TidegateError:
            continue


if __name__ == "__main__":
    main()
