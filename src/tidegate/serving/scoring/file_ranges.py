"""Requests of a transform job: bodies with one record per line, which may be a range of a local file.

The worker reads such a range from the file: sending the rows through a socket would cost both ends about as much as
parsing them. Only workers of transform jobs accept such requests, because only the job's runner can reach their
sockets. Every line is a record and gets an answer, so a header is an error. A request that does not say
whether it has the first record is an object that is not split: it is read as an endpoint reads it.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.serving.contract.answer_counts import check_count
from tidegate.serving.contract.invocation import Answer, Call, Done, ModelFailed, Outcome
from tidegate.serving.scoring.batching import Batcher, model_failure, score_requests
from tidegate.serving.scoring.chunked_scoring import LineScorer
from tidegate.storage.files import tag_of
from tidegate.transform.csv_lines import without_bom
from tidegate.transform.joining import CSV, JSON_LINES, media_type
from tidegate.transform.splitting import count_lines

HEADER = b"x-tidegate-part"
RECORDS = b"x-tidegate-records"
"""Header of the answer: number of lines of the range."""
FIRST = b"x-tidegate-first-record"
"""Header of a request of records: b"1" if it begins with the first one of an object, else b"0"."""
THREADS = 2
"""Requests that a worker scores at a time."""


class FilePart(msgspec.Struct):
    """``length`` bytes from ``offset`` of a file, in the version that ``tag`` identifies."""

    path: str
    offset: int
    length: int
    tag: str

    def encode(self) -> bytes:
        return json.dumps(msgspec.to_builtins(self)).encode("ascii")


def read(part: FilePart) -> bytes:
    """Read the range. Raises OSError, or ModelFailed (503) if the file was changed."""
    with open(part.path, "rb", buffering=0) as file:
        body = os.pread(file.fileno(), part.length, part.offset)
        if tag_of(os.fstat(file.fileno())) != part.tag or len(body) != part.length:
            raise ModelFailed(503, f"{part.path} was changed meanwhile.")
    return body


_decode_part = msgspec.json.Decoder(prepare_type(FilePart)).decode


class Records:
    """Wraps a ``batching.Scorer`` for bodies whose lines are records."""

    def __init__(self, scorer: Any) -> None:
        self._scorer = scorer
        self.batches = scorer.batches
        self.size, self.score, self.count, self.render = scorer.size, scorer.score, scorer.count, scorer.render

    def parse(self, call: Call) -> Any:
        """Raises ModelFailed, also where not every line is a row."""
        return self.parse_counted(call)[0]

    def parse_counted(self, call: Call) -> tuple[Any, int | None]:
        """The rows, and the number of lines if it was counted. Raises as ``parse`` does."""
        form = media_type(call.content_type) or CSV
        first = call.headers.get(FIRST)
        if first is None or form not in (CSV, JSON_LINES) or not isinstance(self._scorer, LineScorer):
            return self._scorer.parse(call), None  # an object that is not split is one request
        if first != b"0":
            call.body = self._scorer.strip_bom(call.body) if form == CSV else without_bom(call.body)
            if form == CSV and self._scorer.header(call.body.partition(b"\n")[0], call.content_type):
                raise ModelFailed(
                    400,
                    "Row 1 is a header, and every line of a job with SplitType Line is a record: leave the header"
                    " out, or use SplitType None, so that each object is one request.",
                )
        rows = self._scorer.parse_bare(call)
        lines = count_lines(call.body)
        check_count(self._scorer.size(rows), lines)
        return rows, lines


class PartBatcher(Batcher[Any, Any]):
    """The engine of a transform job's worker. Its requests are large: one is read while another is scored."""

    execution_parameters = b'{"TidegateParts":true}'

    def __init__(self, scorer: Any, loop: Any) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "large")
        self._records = Records(scorer)
        super().__init__(self._records, loop, aside=self._threads)

    def submit(self, call: Call, done: Done) -> None:
        part = call.headers.get(HEADER)
        if part is None:
            super().submit(call, done)
            return
        task = self._loop.run_in_executor(self._threads, self._of_file, call, part)
        task.add_done_callback(lambda finished: done(finished.result()))

    def _of_file(self, call: Call, part: bytes) -> Outcome:
        try:
            call.body = read(_decode_part(part))
            rows, lines = self._records.parse_counted(call)
            [scores] = score_requests(self._records, [rows])
        except Exception as error:
            return model_failure(error)
        outcome = self._render(scores, call)
        if isinstance(outcome, Answer):
            count = count_lines(call.body) if lines is None else lines
            return outcome._replace(headers=(*outcome.headers, (RECORDS, b"%d" % count)))
        return outcome

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
