"""``python -m tidegate.cli.controller``: the process that ``tidegate up`` becomes. Separate from the commands, so
that they start fast and the server does not import them."""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tidegate.domain.errors import TidegateError
from tidegate.host.late_import import load
from tidegate.host.process_facts import allow_many_files
from tidegate.settings import Settings


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--state", required=True, type=Path)
    given = parser.parse_args()
    allow_many_files()
    try:
        run = _import_server()
        run(Settings.from_environment(os.environ, host=given.host, port=given.port, state=given.state))
    except TidegateError as error:
        print(f"tidegate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


ALL_EVERY = 500
"""Collections of the younger objects until all are looked through for garbage, which holds up everything: with a
thousand endpoints for a tenth of a second, by Python's own 10 each 10 to 20 seconds. The younger ones are looked
through as often as ever: requests that fail leave cycles that hold their bodies."""


def _import_server() -> Callable[[Settings], None]:
    """Imports the server without collections of garbage, which take a tenth of the time and find none: modules stay.
    Later collections do not look at them either."""
    gc.disable()
    run: Callable[[Settings], None] = load("tidegate.compose.controller", "run")
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], ALL_EVERY)
    gc.enable()
    return run


if __name__ == "__main__":
    raise SystemExit(main())
