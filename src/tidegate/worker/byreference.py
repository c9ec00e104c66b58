"""Requests of a transform job whose body is a part of a local file: the worker reads it where it lies.

Carrying the rows of a file through a socket costs both ends about as much as reading them as numbers. Only workers
of transform jobs take such requests: nobody but the job's runner reaches their sockets.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from tidegate.transform.splitting import count_lines
from tidegate.worker.batching import Batcher, failed
from tidegate.worker.invocation import Answer, Call, Done, ModelFailed, Outcome

HEADER = b"x-tidegate-part"
RECORDS = b"x-tidegate-records"
"""Of the answer: lines that the part has."""
THREADS = 2
"""Requests that a worker computes at one time."""


class Part(msgspec.Struct):
    """``length`` bytes from ``offset`` on, of the file as it was when ``tag`` was made."""

    path: str
    offset: int
    length: int
    tag: str

    def encode(self) -> bytes:
        return json.dumps(msgspec.to_builtins(self)).encode("ascii")


def tag_of(found: os.stat_result) -> str:
    """Changes when the file does."""
    return f"{found.st_size}-{found.st_mtime_ns}"


def read(part: Part) -> bytes:
    """Raises OSError, or ModelFailed (503) for a file that was changed."""
    with open(part.path, "rb", buffering=0) as file:
        body = os.pread(file.fileno(), part.length, part.offset)
        if tag_of(os.fstat(file.fileno())) != part.tag or len(body) != part.length:
            raise ModelFailed(503, f"{part.path} was changed meanwhile.")
    return body


class PartBatcher(Batcher[Any, Any]):
    """The engine of a transform job's worker. Its requests are all large: one is read while another is computed."""

    execution_parameters = b'{"TidegateParts":true}'

    def __init__(self, scorer: Any, loop: Any) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "large")
        super().__init__(scorer, loop, aside=self._threads)

    def submit(self, call: Call, done: Done) -> None:
        told = call.headers.get(HEADER)
        if told is None:
            super().submit(call, done)
            return
        task = self._loop.run_in_executor(self._threads, self._of_file, call, told)
        task.add_done_callback(lambda finished: done(finished.result()))

    def _of_file(self, call: Call, told: bytes) -> Outcome:
        try:
            call.body = read(msgspec.json.decode(told, type=Part))
        except Exception as error:
            return failed(error)
        outcome = self._alone(call)
        if isinstance(outcome, Answer):
            lines = b"%d" % count_lines(call.body)
            return outcome._replace(headers=(*outcome.headers, (RECORDS, lines)))
        return outcome

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
