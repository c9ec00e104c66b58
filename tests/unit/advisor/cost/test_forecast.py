"""A forecast against the bill of what the scaling machine ran: a day replayed second by second."""

from bench.forecast_bill import compared, drawn
from tidegate.load.shapes import bank_calls


def test_the_forecast_of_a_replayed_day_is_within_a_tenth_of_what_ran() -> None:
    case = drawn("calls to a bank", lambda seed: bank_calls(50, days=1, seed=seed), 20, (2, 12))
    made = compared(case)
    assert made.most > 2 and made.changes > 2, "it scaled"
    assert 0.9 < made.expected / made.bill < 1.1
