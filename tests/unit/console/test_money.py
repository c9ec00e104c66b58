"""Dollars as pages print them."""

import pytest

from tidegate.console.figures import format_dollars


@pytest.mark.parametrize(
    ("amount", "text"), [(1153.4, "$1,153"), (74.456, "$74.46"), (0.0123, "$0.0123"), (0, "$0.00")]
)
def test_money_reads_as_money(amount: float, text: str) -> None:
    assert format_dollars(amount) == text
