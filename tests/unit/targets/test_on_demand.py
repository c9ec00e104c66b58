"""How many replicas a serverless fleet should have."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.fleet import Serverless
from tidegate.targets.on_demand import GROW_AFTER, ScalingMemory, decide, shares

BOUNDS = Serverless(memory=2**30, max_concurrency=25, idle_after=60.0, per_instance=10)


def after(*asked: tuple[float, int], bounds: Serverless = BOUNDS) -> ScalingMemory:
    """The standing after these demands: time and requests in hand."""
    standing = ScalingMemory()
    for now, in_hand in asked:
        standing = decide(standing, in_hand, bounds, now)
    return standing


def test_nothing_asked_is_nothing_wanted() -> None:
    assert after((0, 0), (10, 0)).wanted == 0


def test_the_first_request_wants_a_replica_at_once() -> None:
    assert after((0, 1)).wanted == 1


def test_a_burst_at_zero_begins_with_one() -> None:
    assert after((0, 25)).wanted == 1
    assert after((0, 25), (GROW_AFTER, 25)).wanted == 3


def test_a_short_burst_is_left_to_the_replica_that_is_there() -> None:
    assert after((0, 1), (1, 20), (1 + GROW_AFTER / 2, 0), (1 + 2 * GROW_AFTER, 20)).wanted == 1


def test_a_demand_that_lasts_wants_more() -> None:
    assert after((0, 1), (1, 20), (1 + GROW_AFTER, 20)).wanted == 2


def test_never_more_than_the_concurrency_takes() -> None:
    assert after((0, 1), (1, 900), (2, 900)).wanted == 3


def test_each_replica_goes_when_it_was_not_needed_for_the_idle_time() -> None:
    asked = [(0, 1), (1, 20), (2, 20), (40, 5)]
    assert after(*asked, (61.9, 0)).wanted == 2
    assert after(*asked, (62, 0)).wanted == 1
    assert after(*asked, (99.9, 0)).wanted == 1
    assert after(*asked, (100, 0)).wanted == 0


def test_provisioned_replicas_are_always_there() -> None:
    kept = Serverless(2**30, 25, provisioned=11, idle_after=1.0)
    assert after((0, 0), (100, 0), bounds=kept).wanted == 2
    assert after((0, 0), (100, 25), (101, 25), bounds=kept).wanted == 3


bounds = st.builds(
    lambda most, part, idle, each: Serverless(2**30, most, int(most * part), idle, each),
    st.integers(1, 200),
    st.floats(0, 1),
    st.floats(0.1, 600),
    st.integers(1, 50),
)


@given(bounds, st.lists(st.tuples(st.floats(0, 100), st.integers(0, 500))))
def test_whatever_is_asked_the_bounds_hold(bounds: Serverless, asked: list[tuple[float, int]]) -> None:
    standing, now = ScalingMemory(), 0.0
    for pause, in_hand in asked:
        now += pause
        standing = decide(standing, in_hand, bounds, now)
        assert bounds.least <= standing.wanted <= bounds.most
        assert standing.wanted >= min(in_hand, 1)
        assert list(standing.needed) == sorted(standing.needed, reverse=True)
    assert decide(standing, 0, bounds, now + bounds.idle_after + 1).wanted == bounds.least


@given(bounds, st.integers(0, 300))
def test_replicas_together_have_no_more_than_is_allowed(bounds: Serverless, replicas: int) -> None:
    found = shares(bounds, min(replicas, bounds.most))
    assert sum(found) <= bounds.max_concurrency
    assert all(1 <= share <= bounds.per_instance for share in found)


@given(bounds)
def test_all_replicas_carry_all_that_is_allowed(bounds: Serverless) -> None:
    assert sum(shares(bounds, bounds.most)) == bounds.max_concurrency
