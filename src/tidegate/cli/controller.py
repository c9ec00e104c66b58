"""``python -m tidegate.cli.controller``: the process that ``tidegate up`` becomes. Separate from the commands, so
that they start fast and the server does not import them."""

import argparse
import os
import sys
from pathlib import Path

from tidegate.compose import controller as compose
from tidegate.domain.errors import TidegateError
from tidegate.settings import Settings


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--state", required=True, type=Path)
    given = parser.parse_args()
    try:
        compose.run(Settings.from_environment(os.environ, host=given.host, port=given.port, state=given.state))
    except TidegateError as error:
        print(f"tidegate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
