"""A new version of one model: its share of requests is kept, and it is final once it is promoted or refused."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tidegate.features.multi_model.worker import model_canary
from tidegate.features.multi_model.worker.model_canary import CanaryState, ModelCanary, Rule

rules = st.builds(
    Rule,
    share=st.floats(0.01, 1),
    requests=st.integers(1, 30),
    bake=st.floats(0, 100),
    failures=st.integers(1, 3),
)
events = st.lists(
    st.tuples(st.sampled_from(["loaded", "request", "failed to load"]), st.booleans(), st.floats(0, 10)),
    max_size=80,
)


@given(rules, events)
def test_every_order_of_answers_keeps_the_rules_of_a_model_canary(
    rule: Rule, happenings: list[tuple[str, bool, float]]
) -> None:
    at, now = ModelCanary("new"), 0.0
    bad = 0
    for kind, well, pause in happenings:
        now += pause
        before = at
        if kind == "loaded":
            at = model_canary.start(at, now)
        elif kind == "failed to load":
            at = model_canary.refuse_load(at, "corrupt")
        else:
            at, new = model_canary.next_request(at, rule)
            assert new <= (before.state is CanaryState.CANARY)
            if before.state is CanaryState.CANARY:
                assert (
                    at.sent == math.ceil(round(rule.share * at.asked, 9))
                    or abs(at.sent - rule.share * at.asked) <= 1
                )
            if new and well:
                at = model_canary.count_answer(at, rule, now, new=True, seconds=0.001)
            elif new:
                bad += 1
                at = model_canary.count_failure(at, rule, "500")
        if before.over:
            assert at == before
        if at.state is CanaryState.PROMOTED:
            assert at.good >= 1
            assert at.good >= rule.requests or now >= at.since + rule.bake
            assert bad < rule.failures
        if at.state is CanaryState.CANARY:
            assert at.good < rule.requests
            assert at.failures < rule.failures


def canary(rule: Rule) -> ModelCanary:
    return model_canary.start(ModelCanary("new"), 0.0)


def test_the_first_request_is_the_canary() -> None:
    at, new = model_canary.next_request(canary(Rule()), Rule())
    assert new
    _, again = model_canary.next_request(at, Rule())
    assert not again


def test_a_failure_refuses_with_its_reason() -> None:
    at = model_canary.count_failure(canary(Rule()), Rule(), "a request failed: no such column")
    assert (at.state, at.reason) == (CanaryState.REFUSED, "a request failed: no such column")


def test_one_good_answer_is_enough_after_the_bake_and_not_before() -> None:
    rule = Rule(bake=60)
    at = model_canary.count_answer(canary(rule), rule, 59.0, new=True, seconds=0.001)
    assert at.state is CanaryState.CANARY
    assert model_canary.judge(at, rule, 60.0).state is CanaryState.PROMOTED
    assert model_canary.judge(canary(rule), rule, 1e6).state is CanaryState.CANARY


def timed(old: float, new: float) -> ModelCanary:
    rule, at = Rule(requests=1000, bake=1e9), canary(Rule())
    for _ in range(rule.compare_from):
        at = model_canary.count_answer(at, rule, 1.0, new=False, seconds=old)
        at = model_canary.count_answer(at, rule, 1.0, new=True, seconds=new)
    return at


def test_a_slow_version_is_refused() -> None:
    at = timed(0.010, 0.050)
    assert at.state is CanaryState.REFUSED
    assert at.reason == "a request takes 50.0 ms, of the version before 10.0 ms"


def test_small_times_are_not_compared_by_their_ratio() -> None:
    assert timed(0.0001, 0.002).state is CanaryState.CANARY
    assert timed(0.010, 0.020).state is CanaryState.CANARY
