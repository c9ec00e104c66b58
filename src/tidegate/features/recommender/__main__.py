"""``python -m tidegate.features.recommender JOB.json``: does the job, then leaves ``result.json``.

Exit codes: 0 there is a result, or another process does the job; 1 it was told to stop; 2 the file cannot be read.
"""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tidegate.domain.errors import StartupError, TidegateError
from tidegate.features.recommender import jobs
from tidegate.host.state_folder import hold_lock

NICE = 10
"""What serves on this machine goes before what is only measured."""


class _StopRequested(BaseException):
    """To stop."""


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m tidegate.features.recommender JOB.json", file=sys.stderr)
        return 2
    path = Path(arguments[0]).absolute()
    try:
        file = jobs.read(path)
    except StartupError as error:
        print(f"tidegate recommend: {error}", file=sys.stderr)
        return 2
    with hold_lock(path.parent) as mine:
        if not mine or (path.parent / "result.json").exists():
            return 0
        os.nice(NICE)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stop)
        try:
            return _done(file, path.parent)
        except _StopRequested:
            return 1


def _done(file: jobs.RecommendationJobFile, folder: Path) -> int:
    try:
        result = jobs.RecommendationResult(found=jobs.run(file, folder, time.monotonic))
    except (TidegateError, TimeoutError) as error:
        result = jobs.RecommendationResult(str(error))
    jobs.keep_result(folder, result)
    print(result.reason or "complete", flush=True)
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise _StopRequested


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # a load that was cut off may still sit in a thread
