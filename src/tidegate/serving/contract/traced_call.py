"""A call that is traced. All others have a ``trace`` of None, for which nothing is stored."""

from tidegate.serving.contract.body_spool import LargeCall
from tidegate.serving.contract.call_trace import CallTrace
from tidegate.serving.contract.invocation import Call


class TracedCall(Call):
    """``stage``: the stage of a pipeline that it is for; -1: none."""

    __slots__ = ("stage", "trace")

    def __init__(self, call: Call, trace: CallTrace, stage: int = -1) -> None:
        super().__init__(call.body, call.headers, call.parts)
        self.trace: CallTrace | None = trace
        self.stage = stage


class TracedLargeCall(LargeCall):
    """The same, with a body in a file."""

    __slots__ = ("trace",)

    def __init__(self, call: LargeCall, trace: CallTrace) -> None:
        assert call.spool is not None
        super().__init__(call.spool, call.headers, call.parts)
        self.trace: CallTrace | None = trace


def with_trace(call: Call, trace: CallTrace) -> Call:
    return TracedLargeCall(call, trace) if isinstance(call, LargeCall) else TracedCall(call, trace)
