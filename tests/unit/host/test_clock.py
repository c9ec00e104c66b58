from datetime import UTC, datetime, timedelta

from tidegate.host.clock import RandomIds, SystemClock


def test_the_clock_tells_aware_utc() -> None:
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


def test_ids_carry_their_kind_and_never_repeat() -> None:
    ids = RandomIds()
    made = {ids.new("rollout") for _ in range(1000)}
    assert len(made) == 1000
    assert {len(one) for one in made} == {len("rollout-") + 26}
    assert all(one.startswith("rollout-") for one in made)


def test_ids_begin_with_their_time() -> None:
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    before = SystemClock().now()
    told = RandomIds().new("a").removeprefix("a-")[:10]
    after = SystemClock().now()
    milliseconds = sum(digits.index(digit) * 32 ** (9 - place) for place, digit in enumerate(told))
    assert int(before.timestamp() * 1000) <= milliseconds <= after.timestamp() * 1000
