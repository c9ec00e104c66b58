"""The output of one object while it grows: a file, a file of errors, and a checkpoint.

What was written after the last checkpoint is truncated when a job continues, and computed again.
"""

import contextlib
import errno
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from tidegate.features.batch.runner.client import BatchAnswer
from tidegate.features.batch.runner.job_file import load, save

CHECKPOINT_INTERVAL = 0.5
"""Seconds between checkpoints, at least."""


@dataclass(frozen=True)
class Checkpoint:
    """``offset`` and ``record``: where the input continues; ``out`` and ``errors``: valid bytes of the outputs."""

    offset: int = 0
    record: int = 1
    out: int = 0
    errors: int = 0
    bad: int = 0
    done: bool = False
    reason: str = ""
    """Why the object failed; it is not tried again before the job is resumed."""
    attempt: int = 0
    """How often the job had been resumed when the object failed."""

    def for_attempt(self, attempt: int) -> "Checkpoint":
        """Return the checkpoint from which the object continues when its job is resumed. An object whose records were
        all bad starts again."""
        if not self.reason or self.attempt >= attempt:
            return self
        return Checkpoint() if self.bad and self.bad == self.record - 1 else replace(self, reason="")


@dataclass
class OutputPart:
    """``path`` has no suffix."""

    path: Path
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    saved: Checkpoint = field(default_factory=Checkpoint)
    """The last checkpoint."""
    published: set[Path] = field(default_factory=set)
    """Outputs that are at their destination already."""
    attempt: int = 0
    _out: IO[bytes] | None = None
    _errors: IO[bytes] | None = None
    _saved_at: float = 0.0
    _in_doubt: bool = False
    """The disk did not take what was written since the last checkpoint. It says so once: asked again it may have
    dropped that, and report success."""

    @property
    def out(self) -> Path:
        return self.path.with_suffix(".out")

    @property
    def errors(self) -> Path:
        return self.path.with_suffix(".errors")

    @property
    def assembled(self) -> Path:
        """The output, if answers cannot simply be concatenated."""
        return self.path.with_suffix(".assembled")

    @property
    def source(self) -> Path:
        """A local copy of the object, if it needs one."""
        return self.path.with_suffix(".source")

    @property
    def _checkpoint_path(self) -> Path:
        return self.path.with_suffix(".json")

    def load_checkpoint(self) -> None:
        self.checkpoint = self.saved = (load(self._checkpoint_path, Checkpoint) or Checkpoint()).for_attempt(
            self.attempt
        )

    def resume(self) -> None:
        """Continue from the last checkpoint. A part whose files are shorter than that starts again."""
        self.close()
        self.load_checkpoint()
        if self.checkpoint.done or self.checkpoint.reason:
            return
        sizes = [path.stat().st_size if path.exists() else 0 for path in (self.out, self.errors)]
        if sizes[0] < self.checkpoint.out or sizes[1] < self.checkpoint.errors:
            self._remove(self._checkpoint_path)
            self.checkpoint = self.saved = Checkpoint()
        self._out = _open(self.out, self.checkpoint.out)
        self._errors = _open(self.errors, self.checkpoint.errors)
        self._in_doubt = False
        self._saved_at = time.monotonic()

    def add(self, done: BatchAnswer) -> bool:
        """Add a batch. Returns whether it is time to save a checkpoint."""
        assert self._out is not None and self._errors is not None
        checkpoint = self.checkpoint
        errors = done.error_lines(checkpoint.record)
        self._out.write(done.out)
        if errors:
            self._errors.write(errors)
        self.checkpoint = replace(
            checkpoint,
            offset=done.end,
            record=checkpoint.record + done.count,
            out=checkpoint.out + len(done.out),
            errors=checkpoint.errors + len(errors),
            bad=checkpoint.bad + len(done.bad),
        )
        return time.monotonic() - self._saved_at > CHECKPOINT_INTERVAL

    def save(self) -> None:
        """Save a checkpoint, after what it refers to is on the disk, unless that is the last one. Blocks."""
        checkpoint = self.checkpoint
        if checkpoint == self.saved:
            return
        self.sync()
        save(self._checkpoint_path, checkpoint)
        self.saved, self._saved_at = checkpoint, time.monotonic()

    def sync(self, *, out: bool = True) -> None:
        """Write all that was added to the disk; without ``out`` the errors alone. Blocks. Raises OSError, and from
        then on always: only ``resume`` writes uncertain data again."""
        if self._in_doubt:
            raise OSError(errno.EIO, "what was written is not on the disk")
        checkpoint = self.checkpoint
        for file, size in ((self._out, checkpoint.out if out else 0), (self._errors, checkpoint.errors)):
            if file is not None:
                file.flush()
                if size:
                    try:
                        os.fsync(file.fileno())
                    except OSError:
                        self._in_doubt = True
                        raise

    def finish(self) -> None:
        """Mark it as published. If a crash loses that, the object is processed again."""
        self.close()
        self.checkpoint = replace(self.checkpoint, done=True)
        with contextlib.suppress(OSError):
            save(self._checkpoint_path, self.checkpoint, sync=False)
        self._remove(self.out, self.errors, self.assembled, self.source)

    def fail(self, reason: str) -> None:
        """Keep what was done up to the last checkpoint, in case the job is resumed."""
        self.close()
        self.checkpoint = self.saved = replace(self.saved, reason=reason, attempt=self.attempt)
        with contextlib.suppress(OSError):
            save(self._checkpoint_path, self.checkpoint, sync=False)

    def discard(self) -> None:
        """Start again, since the object has changed."""
        self.close()
        self.checkpoint = self.saved = Checkpoint()
        self._remove(self.out, self.errors, self.assembled, self.source, self._checkpoint_path)

    def _remove(self, *paths: Path) -> None:
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Close both files, ignoring errors. Data that cannot be written now is computed again from the last
        checkpoint on."""
        for file in (self._out, self._errors):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        self._out = self._errors = None


def _open(path: Path, size: int) -> IO[bytes]:
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size)
    file.seek(size)
    return file
