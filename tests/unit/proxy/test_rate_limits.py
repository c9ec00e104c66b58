"""What the proxy is told of quotas, and which slot a queue time gets."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.admission import DEFAULT_ADMISSION, DEFAULT_QUEUE_TIME, Admission, Quotas, TokenBucket
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.proxy.rate_limits import DEFAULT_HEADER as X_CLIENT
from tidegate.proxy.rate_limits import merge_headers, quota_entries, stale_keys
from tidegate.proxy.state import ProxyState

RANDOM = RoutingStrategy.RANDOM
A, B, C = (FleetId("fraud", generation, "blue") for generation in (1, 2, 3))


def test_an_entry_for_the_slot_and_one_for_each_client_with_a_rate_of_its_own() -> None:
    quotas = Quotas(TokenBucket(50, 100), "X-Client", {"acme": TokenBucket(1000, 100)})
    assert quota_entries("r3", quotas, (X_CLIENT,)) == {
        "r3": "h0|20000|1980000|2000000",
        "r3:acme": "h0|1000|99000|100000",
    }
    assert quota_entries("r3", Quotas(TokenBucket(50, 1)), ()) == {"r3": "k|20000|0|20000"}
    assert quota_entries("r3", None, ()) == {}


@given(rate=st.floats(0.002, 100_000), burst=st.integers(1, 1000))
def test_a_bucket_is_never_longer_than_the_proxy_can_tell_apart(rate: float, burst: int) -> None:
    bucket = TokenBucket(rate, max(1.0, min(burst, 600 * rate)))
    token, ahead, most = (int(word) for word in quota_entries("r0", Quotas(bucket), ())["r0"].split("|")[1:])
    assert token >= 1 and ahead + token == most < 2**31
    assert abs(ahead / token - (bucket.burst - 1)) < 0.5


def test_headers_keep_their_numbers() -> None:
    headers = merge_headers((X_CLIENT,), "X-Tenant")
    assert headers == ("x-client", "x-tenant")
    assert merge_headers(headers, "x-CLIENT") == merge_headers(headers, "") == headers


def test_only_the_slot_s_own_keys_are_stale() -> None:
    there = {"r1": "x", "r1:acme": "x", "r1:old": "x", "r10": "x", "r10:old": "x"}
    assert stale_keys(there, {"r1": "y", "r1:acme": "y"}, "r1") == ["r1:old"]


def test_a_queue_time_goes_to_a_slot_that_has_it_before() -> None:
    tight = Admission(queue_time=0.05)
    state = ProxyState({"r": 3}).with_servers(A, RANDOM, {}).with_servers(B, RANDOM, {}, admission=tight)
    assert (state.slots, state.queues) == ({A: "r0", B: "r1"}, {"r1": 0.05})
    state = state.without(B).without(A).emptied(["r0", "r1"])
    assert state.with_servers(C, RANDOM, {}, admission=tight).slots == {C: "r1"}
    assert state.with_servers(C, RANDOM, {}, admission=DEFAULT_ADMISSION).slots == {C: "r0"}


def test_a_slot_with_another_queue_time_is_taken_last_and_then_has_the_new_one() -> None:
    state = (
        ProxyState({"r": 1})
        .with_servers(A, RANDOM, {}, admission=Admission(queue_time=9))
        .without(A)
        .emptied(["r0"])
    )
    assert state.queues == {"r0": 9}
    assert state.with_servers(B, RANDOM, {}).queues == {}
    assert state.with_servers(B, RANDOM, {}, admission=Admission(queue_time=DEFAULT_QUEUE_TIME + 1)).queues == {
        "r0": 2.0
    }
