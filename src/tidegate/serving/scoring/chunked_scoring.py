"""Scores a large body of lines block by block, in constant memory."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol, runtime_checkable

from tidegate.serving.contract.answer_counts import check_count
from tidegate.serving.contract.body_spool import IN_MEMORY, LargeCall, Spool
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed, Outcome, Stream
from tidegate.transform.splitting import count_lines

BLOCK = 2 * 1024 * 1024
"""Bytes of a block, without the rows and answers that are made of it."""
_ROW = re.compile(r"^Row (\d+)\b")
"""How a message names the row that is wrong (``Layout``), from 1."""


@runtime_checkable
class LineScorer(Protocol):
    """A ``batching.Scorer`` with content types that have one row per line."""

    batches: bool
    """False if all rows must be scored together."""

    def by_lines(self, call: Call) -> bool:
        """Whether request and answer have one row per line, so that a body can be split at lines."""
        ...

    def parse(self, call: Call) -> Any: ...

    def parse_bare(self, call: Call) -> Any:
        """Parse lines from the middle of a body: the first one is no header."""
        ...

    def strip_bom(self, body: bytes) -> bytes:
        """Remove the byte order mark of a CSV. Raises ModelFailed if it may be data."""
        ...

    def header(self, line: bytes, content_type: str) -> bool:
        """Whether the first line of a CSV is a header. Raises ModelFailed."""
        ...

    def size(self, rows: Any) -> int: ...

    def count(self, scores: Any) -> int | None: ...

    def score(self, requests: list[Any]) -> Any: ...

    def render(self, scores: Any, call: Call) -> Outcome: ...


def answer_blocks(scorer: LineScorer, call: LargeCall, spool: Spool, block: int = BLOCK) -> Outcome:
    """Score the body in ``spool``. Raises ModelFailed as ``scorer`` does, with rows counted from the beginning of the
    body."""
    kind, header, before = "", b"", 0
    try:
        found = spool.create_sibling()
        for lines in _blocks(spool, block):
            if call.abandoned:
                break
            parse = scorer.parse_bare if before and not header else scorer.parse
            try:
                rows = parse(Call(header + lines, call.headers))
                [scores] = scorer.score([rows])
            except ModelFailed as failed:
                raise ModelFailed(
                    failed.status, _shift_message(failed.message, before), failed.container
                ) from None
            check_count(scorer.count(scores), scorer.size(rows))
            count = count_lines(lines)
            if not before and scorer.size(rows) == count - 1:
                header = lines[: lines.index(b"\n") + 1]
                count -= 1
            check_count(scorer.size(rows), count)
            before += scorer.size(rows)
            answer = scorer.render(scores, call)
            assert isinstance(answer, Answer)
            found.add(answer.body)
            kind = answer.content_type
    except OSError as error:
        raise ModelFailed(500, f"The answer cannot be kept: {error.strerror}.") from None
    if len(found) <= IN_MEMORY:
        return Answer(found.whole() if found else b"", kind)
    return Stream(kind, _read_parts(found))


def _blocks(spool: Spool, size: int) -> Iterator[bytes]:
    """Blocks of lines. The first one has at least one row after the header."""
    first, begun = b"", False
    for lines in spool.lines(size):
        if begun:
            yield lines
            continue
        first += lines
        if count_lines(first) > 1:
            begun = True
            yield first
    if not begun:
        yield first


def _shift_message(message: str, rows: int) -> str:
    if rows and not _ROW.match(message):
        return f"After row {rows}: {message}"
    return _ROW.sub(lambda found: f"Row {int(found[1]) + rows}", message)


async def _read_parts(spool: Spool) -> AsyncIterator[bytes]:
    for part in spool.parts():
        yield part
