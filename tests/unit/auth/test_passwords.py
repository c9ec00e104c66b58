"""Passwords, secrets of tokens, and limits of attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.auth import passwords
from tidegate.auth.passwords import Cost, hash_password, is_password
from tidegate.domain.errors import Invalid
from tidegate.host.attempt_limits import AttemptAllowance, AttemptLimits

CHEAP = Cost(4, 1)
SALT = bytes(range(16))
GOOD = "correct horse battery"


def test_a_hash_is_that_of_its_password_alone() -> None:
    encoded = hash_password(GOOD, SALT, CHEAP)
    assert is_password(GOOD, encoded) and not is_password(GOOD + " ", encoded)
    assert encoded != hash_password(GOOD, bytes(16), CHEAP) and GOOD not in encoded


def test_the_cost_is_that_which_is_recommended() -> None:
    assert hash_password(GOOD, SALT).startswith("scrypt$15$3$")
    assert passwords.decoy().startswith("scrypt$15$3$") and not is_password("", passwords.decoy(CHEAP))


def test_the_same_letters_composed_differently_are_the_same_password() -> None:
    assert is_password("Zu\u0308rich am See", hash_password("Z\u00fcrich am See", SALT, CHEAP))


@pytest.mark.parametrize("password", ["", "short", "x" * 257])
def test_a_password_that_is_too_short_or_too_long_is_refused_without_being_quoted(password: str) -> None:
    with pytest.raises(Invalid) as caught:
        hash_password(password, SALT, CHEAP)
    assert not password or password not in caught.value.message


@pytest.mark.parametrize(
    "encoded", ["", "x", "scrypt$15$3$a", "scrypt$x$1$AA==$b", "md5$4$1$AA==$b", "scrypt$99$1$AA==$b"]
)
def test_a_hash_that_cannot_be_read_is_nobodys(encoded: str) -> None:
    assert not is_password(GOOD, encoded)


@given(st.text(max_size=80))
def test_text_that_is_no_token_has_no_id(text: str) -> None:
    assert passwords.token_id(text) is None
    assert passwords.digest_secret(text) != text


def test_a_token_has_its_id() -> None:
    text = passwords.make_token("0123456789ab", bytes(32))
    assert passwords.token_id(text) == "0123456789ab" and passwords.token_id(text + "\n") is None


@given(
    st.integers(1, 20),
    st.floats(1, 1000),
    st.lists(st.floats(0, 500), min_size=1, max_size=60),
)
def test_no_span_has_more_attempts_than_twice_the_allowance(
    attempts: int, seconds: float, waits: list[float]
) -> None:
    limits, allowance, now, taken = AttemptLimits(), AttemptAllowance(attempts, seconds), 1e9, list[float]()
    for wait in waits:
        now += wait
        if limits.take("key", allowance, now) == 0:
            taken.append(now)
    for at in taken:
        assert sum(at <= other < at + seconds * 0.999 for other in taken) <= 2 * attempts
    assert len(taken) >= min(attempts, len(waits))


@given(st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_a_clock_that_jumps_locks_nobody_out_for_longer_than_a_refill(times: list[float]) -> None:
    limits, allowance = AttemptLimits(), AttemptAllowance(2, 60)
    for now in times:
        assert limits.take("key", allowance, now) <= 60


def test_good_attempts_do_not_count_and_what_is_kept_is_bounded() -> None:
    limits, allowance = AttemptLimits(most=3), AttemptAllowance(2, 60)
    for _ in range(10):
        assert limits.take("good", allowance, 0.0) == 0
        limits.give_back("good", allowance)
    for number in range(100):
        limits.take(f"other {number}", allowance, 0.0)
    assert len(limits._full_at) == 3
