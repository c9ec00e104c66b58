"""A model on an accelerator: what was found when it was loaded, and the errors of the device. Pure."""

from dataclasses import dataclass

from tidegate.domain.memory_sizes import format_bytes
from tidegate.serving.contract.invocation import ModelFailed, Note

MODEL_MEMORY = "DeviceModelMemory"
"""Metric: bytes of the device's memory that loading a model took, once for each start of a replica."""
BATCH_ROWS = "DeviceBatchRows"
"""Metric: most rows of a call, as measured on the device when the model was loaded."""


class DeviceOutOfMemory(ModelFailed):
    """The device had no memory for this request. Others are answered."""

    def __init__(self, why: str) -> None:
        super().__init__(500, f"The device has no memory for this request ({why}); send fewer rows at once.")


class DeviceLost(ModelFailed):
    """The device does not answer any more: the replica is replaced."""

    def __init__(self, why: str) -> None:
        super().__init__(500, f"The device is lost ({why}); the replica is replaced.")


@dataclass(frozen=True)
class DeviceReport:
    """``difference``: the largest between device and processor on probe rows, relative to an answer or a typical one;
    ``memory``: bytes that the model takes of the ``total`` of its devices, None if not known; ``rows``: most rows of
    a call, None where requests are not batched by the worker."""

    devices: tuple[str, ...]
    difference: float
    tolerance: float
    rows: int | None = None
    memory: int | None = None
    total: int | None = None

    def __str__(self) -> str:
        parts = [f"differs from the processor by at most {self.difference:.1e} (allowed: {self.tolerance:.0e})"]
        if self.rows is not None:
            parts.append(f"at most {self.rows} rows a call")
        if self.memory is not None and self.total is not None:
            parts.append(f"took {format_bytes(self.memory)} of {format_bytes(self.total)}")
        else:
            parts.append("its memory there is not known")
        return f"on {', '.join(self.devices)}: {', '.join(parts)}"

    def notes(self) -> list[Note]:
        """The metrics; what is not known is left out."""
        values = {MODEL_MEMORY: self.memory, BATCH_ROWS: self.rows}
        return [Note(name, value) for name, value in values.items() if value is not None]
