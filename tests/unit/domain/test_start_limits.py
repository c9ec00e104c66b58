"""How long a start may take: what the process itself takes counts, but does not eat the model's time."""

import pytest

from tidegate.domain.start_limits import MAX_GRACE, remaining_limit, supervisor_grace


@pytest.mark.parametrize("limit", [0.2, 5.0, 60.0, 3600.0])
@pytest.mark.parametrize("spent", [0.0, 0.4, 2.0, 30.0])
def test_a_start_ends_within_a_fifth_over_its_limit(limit: float, spent: float) -> None:
    left = remaining_limit(limit, spent)
    assert left >= 0.9 * limit - 1e-9, "a busy machine takes little of the model's time"
    counted = min(spent, 0.1 * limit)
    assert counted + left + supervisor_grace(limit) <= 1.2 * limit + 1e-9


def test_a_long_limit_has_no_long_grace() -> None:
    assert supervisor_grace(3600) == MAX_GRACE
