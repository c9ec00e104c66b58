"""The connection of a worker's server to data capture."""

import asyncio
import zlib
from collections.abc import Callable

from tidegate.domain.traffic import WHOLE
from tidegate.features.capture.worker.recorder import Recorder
from tidegate.serving.contract.invocation import Answer, Note, Stream
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.front.connection import Request
from tidegate.serving.front.sampling import EvenSampler


class FrontCaptures:
    """``note``: takes what was captured and dropped."""

    def __init__(self, spec: ReplicaSpec, note: Callable[[Note], None]) -> None:
        self._recorder = _make_recorder(spec)
        self._note = note
        self.wanted = self._recorder is not None

    def start(self) -> None:
        if self._recorder is not None:
            self._recorder.start()

    def offer(self, request: Request, answer: Answer) -> None:
        """Capture what was answered."""
        if self._recorder is None:
            return
        if request.spool is None:
            self._recorder.offer(request.arrived, request.fields, request.body, answer)
        else:
            self._recorder.offer_large()

    def follow(self, request: Request, stream: Stream) -> tuple[Stream, Callable[[bool], None]]:
        """The stream to deliver in place of this one, and what is to be called at its end: with whether the client
        got all of it."""
        recorder, body = self._recorder, request.body if request.spool is None else None
        tap = None if recorder is None else recorder.follow(stream, len(body or b""))
        if recorder is None or tap is None:
            return stream, _do_nothing
        return stream._replace(parts=tap), lambda whole: recorder.offer_stream(
            request.arrived, request.fields, body, (stream.content_type, tap), whole
        )

    def show(self, request: Request) -> str:
        """Return the body of a request as a capture has it; empty where none has it."""
        if self._recorder is None or request.spool is not None:
            return ""
        return self._recorder.show(request.body, request.fields.get(b"content-type", b""))

    def clean(self, text: str) -> str:
        """Return a text of an answer without what redaction finds in it; empty where nothing may be shown."""
        return text if self._recorder is None else self._recorder.clean(text)

    def look(self) -> None:
        """Take notes of what was captured since the last time."""
        for note in self._recorder.take_notes() if self._recorder is not None else ():
            self._note(note)

    async def close(self) -> None:
        """Write and deliver what there is. Nothing is captured any more."""
        self.wanted = False
        recorder, self._recorder = self._recorder, None  # notes are not taken while another thread ends it
        if recorder is None:
            return
        await asyncio.to_thread(recorder.close)
        for note in recorder.take_notes():
            self._note(note)


def _do_nothing(whole: bool) -> None:
    pass


def _make_recorder(spec: ReplicaSpec) -> Recorder | None:
    """Make the recorder that captures the requests of this replica; None if it captures nothing."""
    capture = spec.capture
    if capture is None or not capture.plan.enabled or not capture.plan.percent:
        return None
    if capture.plan.percent == 100:
        return Recorder(spec, capture, lambda: True)
    sampler = EvenSampler(capture.plan.percent * WHOLE // 100, zlib.crc32(spec.replica.encode()))
    return Recorder(spec, capture, sampler.take)
