"""How long a fleet waits after a failed start."""

from tidegate.targets.local.start_failures import LONGEST_BACKOFF, StartFailures


def waits(has_served: bool, times: int = 8) -> list[float]:
    failures = StartFailures()
    found = []
    for _ in range(times):
        failures.add("the data cannot be read", 100.0, conclusive=True, has_served=has_served)
        found.append(failures.not_before - 100.0)
    assert failures.reason == "the data cannot be read"
    return found


def test_a_fleet_that_has_served_is_tried_again_soon_however_conclusive_its_failure() -> None:
    assert waits(has_served=True) == [0.5, 1, 2, 4, 8, 16, LONGEST_BACKOFF, LONGEST_BACKOFF]


def test_one_that_never_served_costs_no_processor_for_what_cannot_succeed() -> None:
    assert waits(has_served=False, times=2) == [LONGEST_BACKOFF] * 2
