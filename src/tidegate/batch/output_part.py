"""The output of one object while it grows: a file, a file of errors, and a checkpoint that says what counts.

What was written after the last checkpoint is cut off when a job goes on, and is made again: nothing is there twice.
"""

import contextlib
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from tidegate.batch.client import Answered
from tidegate.batch.job_file import keep, load

EVERY = 0.5
"""Seconds between checkpoints, at least."""


@dataclass(frozen=True)
class Mark:
    """``offset`` and ``record``: where the input goes on; ``out`` and ``errors``: bytes that count."""

    offset: int = 0
    record: int = 1
    out: int = 0
    errors: int = 0
    bad: int = 0
    done: bool = False
    reason: str = ""
    """Why the object failed; nothing of it is tried again before the job is resumed."""
    attempt: int = 0
    """How often the job had been resumed when the object failed."""

    def again(self, attempt: int) -> "Mark":
        """Where the object goes on when its job is resumed. One of which every record was bad begins anew."""
        if not self.reason or self.attempt >= attempt:
            return self
        return Mark() if self.bad and self.bad == self.record - 1 else replace(self, reason="")


@dataclass
class Part:
    """``path`` is without an ending."""

    path: Path
    mark: Mark = field(default_factory=Mark)
    saved: Mark = field(default_factory=Mark)
    """The last checkpoint."""
    published: set[Path] = field(default_factory=set)
    """Outputs that are where they belong; the rest of them is still to come."""
    attempt: int = 0
    _out: IO[bytes] | None = None
    _errors: IO[bytes] | None = None
    _kept: float = 0.0

    @property
    def out(self) -> Path:
        return self.path.with_suffix(".out")

    @property
    def errors(self) -> Path:
        return self.path.with_suffix(".errors")

    @property
    def assembled(self) -> Path:
        """The output of answers that cannot just be put together."""
        return self.path.with_suffix(".assembled")

    @property
    def source(self) -> Path:
        """The object itself, where it has to lie here."""
        return self.path.with_suffix(".source")

    @property
    def _checkpoint(self) -> Path:
        return self.path.with_suffix(".json")

    def resume_mark(self) -> None:
        self.mark = self.saved = (load(self._checkpoint, Mark) or Mark()).again(self.attempt)

    def resume(self) -> None:
        """Takes up what counts of an earlier run. A part that lost more than that begins anew."""
        self.close()
        self.resume_mark()
        if self.mark.done or self.mark.reason:
            return
        sizes = [path.stat().st_size if path.exists() else 0 for path in (self.out, self.errors)]
        if sizes[0] < self.mark.out or sizes[1] < self.mark.errors:
            self.mark = self.saved = Mark()
        self._out = _opened(self.out, self.mark.out)
        self._errors = _opened(self.errors, self.mark.errors)
        self._kept = time.monotonic()

    def add(self, done: Answered) -> bool:
        """One batch more. Returns whether it is time to keep a checkpoint."""
        assert self._out is not None and self._errors is not None
        mark = self.mark
        errors = done.errors(mark.record)
        self._out.write(done.out)
        if errors:
            self._errors.write(errors)
        self.mark = replace(
            mark,
            offset=done.end,
            record=mark.record + done.count,
            out=mark.out + len(done.out),
            errors=mark.errors + len(errors),
            bad=mark.bad + len(done.bad),
        )
        return time.monotonic() - self._kept > EVERY

    def keep(self) -> None:
        """What the checkpoint says is on the disk before it is said. Blocks."""
        mark = self.mark
        self.sync()
        keep(self._checkpoint, mark)
        self.saved, self._kept = mark, time.monotonic()

    def sync(self) -> None:
        """All that was added is on the disk. Blocks."""
        for file, size in ((self._out, self.mark.out), (self._errors, self.mark.errors)):
            if file is not None:
                file.flush()
                if size:
                    os.fsync(file.fileno())

    def finish(self) -> None:
        """It is published. Should this be forgotten, the object is done again."""
        self.close()
        self.mark = replace(self.mark, done=True)
        with contextlib.suppress(OSError):
            keep(self._checkpoint, self.mark, sync=False)
        self._remove(self.out, self.errors, self.assembled, self.source)

    def fail(self, reason: str) -> None:
        """What was done up to the last checkpoint is kept, for a job that is resumed."""
        self.close()
        self.mark = self.saved = replace(self.saved, reason=reason, attempt=self.attempt)
        with contextlib.suppress(OSError):
            keep(self._checkpoint, self.mark, sync=False)

    def discard(self) -> None:
        """The object has changed: it begins anew."""
        self.close()
        self.mark = self.saved = Mark()
        self._remove(self.out, self.errors, self.assembled, self.source, self._checkpoint)

    def _remove(self, *paths: Path) -> None:
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """What cannot be written now is made again from the last checkpoint on."""
        for file in (self._out, self._errors):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        self._out = self._errors = None


def _opened(path: Path, size: int) -> IO[bytes]:
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size)
    file.seek(size)
    return file
