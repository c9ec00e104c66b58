"""One model on the devices of its replica: its calls, the checks when it is loaded, and what is reported of it.

Every call of the library on the device goes through ``guard``. After an error the first call is made again, which
succeeded: if it fails, the device is lost, whatever the error said. Else the error was that of the request.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tidegate.domain.devices import DeviceMemory
from tidegate.serving.contract.device import DeviceLost, DeviceOutOfMemory, DeviceReport
from tidegate.serving.runtimes.devices import batch_rows, exactness
from tidegate.serving.runtimes.devices.exactness import Answer
from tidegate.serving.runtimes.devices.library import DeviceLibrary
from tidegate.serving.runtimes.row_probes import Pool
from tidegate.serving.scoring.batching import BATCH_ROWS, MOST_ROWS, cap

SPARE = 0.1
"""Part of the memory of the devices that has to stay free."""
_NO_MEMORY = (
    "out of memory",
    "alloc_failed",
    "cudaerrormemoryallocation",
    "memory allocation error",
    "failed to allocate memory",
    "is smaller than requested bytes",
)
"""How CUDA and the libraries above it say that there is no memory, in lower case."""

ReadMemory = Callable[[Sequence[str]], DeviceMemory | None]


class Placement:
    """``names``: the devices, as the platform assigned them; ``read_memory``: None where it is not known."""

    def __init__(
        self,
        names: tuple[str, ...],
        library: DeviceLibrary,
        read_memory: ReadMemory,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.library: Any = library
        self.lost = False
        self.on_lost: Callable[[str], object] | None = None
        """Called once with the reason, in any thread."""
        self.names = names
        self._read_memory = partial(read_memory, names)
        self._clock = clock
        self._again: Callable[[], object] | None = None
        """The first call that succeeded."""
        self._before: DeviceMemory | None = None
        self._report: DeviceReport | None = None
        self._cases: list[exactness.Case] = []
        """Probes that the model takes."""
        self._on_device: Answer | None = None

    def begin(self) -> None:
        """The model is about to be loaded. Another one of the replica may have been, on the same device."""
        self._before = self._read_memory()

    @property
    def report(self) -> DeviceReport:
        """Once the model is loaded."""
        assert self._report is not None, "the runtime has not compared its answers"
        return self._report

    @property
    def rows(self) -> int | None:
        """Most rows of a call."""
        return self._report.rows if self._report is not None else None

    def guard(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose errors are DeviceOutOfMemory, DeviceLost or its own. Another one takes its place."""
        self._again = None

        def call(*given: Any) -> Any:
            if self.lost:
                raise DeviceLost("an earlier call failed")
            kept = copy.deepcopy(given) if self._again is None else ()
            try:
                found = run(*given)
            except Exception as error:
                raise self._explain(error) from None
            if self._again is None:
                self._again = partial(run, *kept)
            return found

        return call

    def compare_rows(self, on_cpu: Answer, on_device: Answer, pool: Pool, dtype: str = "") -> None:
        """Raises ArtifactError unless both answer rows alike."""
        self._record_comparison(exactness.compare_rows(on_cpu, on_device, pool, dtype))
        self._on_device = on_device

    def compare_examples(
        self, on_cpu: Answer, on_device: Answer, examples: Sequence[exactness.Case], dtype: str = ""
    ) -> None:
        """Raises ArtifactError unless both answer examples alike."""
        self._record_comparison(exactness.compare_examples(on_cpu, on_device, examples, dtype))

    def find_rows(self, environment: Mapping[str, str]) -> int:
        """Measure how many rows a call should have, and note it. The model has answered rows alike, and takes any
        number of them. ``environment``: the model's, which may have a lower limit."""
        most = cap(environment) if BATCH_ROWS in environment else MOST_ROWS
        rows = batch_rows.find_rows(self._call_with, most, self._has_room, self._clock)
        self._report = replace(self.report, rows=rows, memory=self.took())
        return rows

    def note_difference(self, difference: float, tolerance: float) -> None:
        """Note what the runtime itself compared."""
        total = self._before.total if self._before is not None else None
        self._report = DeviceReport(self.names, difference, tolerance, memory=self.took(), total=total)

    def _record_comparison(self, found: exactness.DeviceComparison) -> None:
        self._cases = found.cases
        self.note_difference(found.difference, found.tolerance)

    def _call_with(self, rows: int) -> object:
        assert self._on_device is not None, "the runtime has not compared rows"
        return self._on_device(exactness.join_rows(self._cases, rows))

    def settle(self, batches: bool) -> None:
        """The model is loaded. ``batches``: whether requests are scored together after all. Raises DeviceLost if the
        device was lost meanwhile."""
        if self.lost:
            raise DeviceLost("a call failed while the model was loaded")
        if not batches:
            self._report = replace(self.report, rows=None)

    def took(self) -> int | None:
        """Bytes of the devices' memory that are used since the model began to load; None if not known."""
        now = self._read_memory()
        return max(0, now.used - self._before.used) if now is not None and self._before is not None else None

    def _has_room(self) -> bool:
        now = self._read_memory()
        return now is None or now.total - now.used >= SPARE * now.total

    def _explain(self, error: Exception) -> Exception:
        """The error for whoever made the call."""
        no_memory = isinstance(error, DeviceOutOfMemory) or says_no_memory(error)
        if self._again is not None:
            try:
                self._again()
            except Exception as second:
                if not says_no_memory(second):
                    return self._lose(_line(error))
                no_memory = True
        return DeviceOutOfMemory(_line(error)) if no_memory else error

    def _lose(self, why: str) -> DeviceLost:
        lost, self.lost = self.lost, True
        if not lost and self.on_lost is not None:
            self.on_lost(f"The device {', '.join(self.names)} is lost: {why}")
        return DeviceLost(why)


def says_no_memory(error: Exception) -> bool:
    """Whether a library says that its device has no memory."""
    text = str(error).lower()
    return any(part in text for part in _NO_MEMORY)


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
