"""Requests of a transform job: bodies of records, one a line, some of which are a part of a local file.

The worker reads such a part where it lies: carrying the rows of a file through a socket costs both ends about as much
as reading them as numbers. Only workers of transform jobs take such requests: nobody but the job's runner reaches
their sockets. Every line is a record and gets an answer, so a header has no place among them.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from tidegate.serving.contract.answer_counts import check_count
from tidegate.serving.contract.invocation import Answer, Call, Done, ModelFailed, Outcome
from tidegate.serving.scoring.batching import Batcher, failed
from tidegate.serving.scoring.chunked_scoring import Lined
from tidegate.transform.csv_lines import without_bom
from tidegate.transform.joining import CSV, JSON_LINES, kind
from tidegate.transform.splitting import count_lines

HEADER = b"x-tidegate-part"
RECORDS = b"x-tidegate-records"
"""Of the answer: lines that the part has."""
FIRST = b"x-tidegate-first-record"
"""Of a request: b"1" where it begins with the first record of an object, b"0" where it does not."""
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


class Records:
    """A ``batching.Scorer`` around another one, for bodies whose lines are records."""

    def __init__(self, scorer: Any) -> None:
        self._scorer = scorer
        self.batches = scorer.batches
        self.size, self.score, self.count, self.render = scorer.size, scorer.score, scorer.count, scorer.render

    def parse(self, call: Call) -> Any:
        """Raises ModelFailed, also where not every line is a row."""
        form = kind(call.content_type) or CSV
        if form not in (CSV, JSON_LINES) or not isinstance(self._scorer, Lined):
            return self._scorer.parse(call)
        if call.headers.get(FIRST) != b"0":
            call.body = self._scorer.unmarked(call.body) if form == CSV else without_bom(call.body)
            if form == CSV and self._is_header(call.body.partition(b"\n")[0]):
                raise ModelFailed(400, "Row 1 is a header; the CSV of a transform job has none: leave it out.")
        rows = self._scorer.parse_bare(call)
        check_count(self._scorer.size(rows), count_lines(call.body))
        return rows

    def _is_header(self, line: bytes) -> bool:
        """What only may be one is a record."""
        try:
            return bool(self._scorer.header(line))
        except ModelFailed:
            return False


class PartBatcher(Batcher[Any, Any]):
    """The engine of a transform job's worker. Its requests are all large: one is read while another is computed."""

    execution_parameters = b'{"TidegateParts":true}'

    def __init__(self, scorer: Any, loop: Any) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "large")
        super().__init__(Records(scorer), loop, aside=self._threads)

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
