"""Figures as the pages show them."""

import pytest

from tidegate.console.figures import format_milliseconds


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0.0 ms"), (0.001, "< 0.1 ms"), (0.7, "0.7 ms"), (46.2, "46 ms"), (1500.0, "1.5 s")],
)
def test_a_duration_that_is_not_zero_never_reads_as_zero(value: float | None, text: str) -> None:
    assert format_milliseconds(value) == text
