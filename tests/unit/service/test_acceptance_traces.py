"""Traces of accepted requests are bounded: clients may ask for one of each of theirs."""

from datetime import UTC, datetime, timedelta

from tidegate.features.tracing.acceptance_traces import MOST_A_SECOND, AcceptanceTraces

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASKED = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


def test_what_clients_ask_for_beyond_the_limit_of_a_second_is_not_traced_and_counted() -> None:
    lost: list[int] = []
    at = [NOON]
    traces = AcceptanceTraces(0.0, "key", lambda: 7, lambda: at[0], lambda spans: None, lost.append)
    begun = [traces.begin(ASKED) for _ in range(MOST_A_SECOND + 3)]
    assert all(begun[:MOST_A_SECOND]) and begun[MOST_A_SECOND:] == [None] * 3 and lost == [1] * 3
    assert traces.begin({}) is None and lost == [1] * 3
    for other in (NOON + timedelta(seconds=1), NOON - timedelta(hours=1)):  # a clock that was set back, too
        at[0] = other
        assert traces.begin(ASKED) is not None
