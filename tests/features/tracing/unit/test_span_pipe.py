"""A collector that hangs, fails or is away costs spans, and nothing else."""

import threading
from collections.abc import Sequence

from tidegate.domain.spans import Span
from tidegate.features.tracing import span_pipe
from tidegate.features.tracing.span_pipe import SpanPipe

ONE = Span("1" * 32, "2" * 16, None, "invoke", 1, 2)


def test_a_collector_that_hangs_holds_nobody_and_what_does_not_fit_is_counted() -> None:
    asked, answer = threading.Event(), threading.Event()

    def hang(spans: Sequence[Span]) -> bool:
        asked.set()
        return answer.wait(300)

    pipe = SpanPipe(hang, "collector")
    pipe.offer([ONE])
    assert asked.wait(300)
    pipe.offer([ONE] * span_pipe.MOST_WAITING)  # at once, though the collector hangs
    pipe.offer([ONE] * 3)
    assert pipe.dropped == 3
    orders = [pipe.order([ONE]) for _ in range(span_pipe.MOST_ORDERS + 1)]
    assert orders[-1].result(0) is False and not orders[0].done()
    answer.set()
    assert orders[0].result(300)
    pipe.close(30)
    assert pipe.exported == span_pipe.MOST_WAITING + 1 + span_pipe.MOST_ORDERS
    pipe.offer([ONE])
    assert pipe.dropped == 4, "nothing is taken after the end"
    assert pipe.order([ONE]).result(0) is False


def test_what_the_collector_refuses_is_dropped_and_an_order_says_so() -> None:
    works = [False]

    def send(spans: Sequence[Span]) -> bool:
        if spans[0].name == "bad":
            raise ValueError("the library did not expect that")
        return works[0]

    pipe = SpanPipe(send, "collector")
    assert pipe.order([ONE]).result(300) is False
    assert pipe.order([Span("1" * 32, "2" * 16, None, "bad", 1, 2)]).result(300) is False
    works[0] = True
    assert pipe.order([ONE]).result(300) is True
    assert (pipe.exported, pipe.dropped) == (1, 0)
    works[0] = False
    pipe.offer([ONE, ONE])
    pipe.close(30)
    assert (pipe.exported, pipe.dropped) == (1, 2)


def test_closing_does_not_wait_for_a_collector_that_hangs() -> None:
    asked, answer = threading.Event(), threading.Event()

    def hang(spans: Sequence[Span]) -> bool:
        asked.set()
        return answer.wait(300)

    pipe = SpanPipe(hang, "collector")
    pipe.offer([ONE])
    assert asked.wait(300)
    pipe.offer([ONE, ONE])
    pipe.close(0.01)
    assert pipe.dropped == 2
    answer.set()
