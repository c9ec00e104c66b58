"""A scorer for tests of what stands around scorers."""

from collections.abc import Sequence

from tidegate.serving.contract.invocation import Answer, Call, Outcome


class EchoScorer:
    """Answers each request with what it was given, as one row."""

    batches = True

    def parse(self, call: Call) -> bytes:
        return call.body

    def size(self, rows: bytes) -> int:
        return 1

    def score(self, requests: Sequence[bytes]) -> Sequence[bytes]:
        return requests

    def count(self, scores: bytes) -> int:
        return 1

    def render(self, scores: bytes, call: Call) -> Outcome:
        return Answer(scores, "text/csv")
