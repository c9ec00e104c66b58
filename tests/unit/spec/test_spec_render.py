"""A deployment as a spec's plain data, and two of them compared key by key."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.spec_changes import BASES, CHANGES, REFUSED, pair
from tidegate import spec
from tidegate.domain.errors import TidegateError
from tidegate.spec.changes import changes, flatten
from tidegate.spec.render import render
from tidegate.spec.unit_texts import bytes_text, duration_text, rate_text, threshold_text
from tidegate.spec.units import duration, memory, threshold

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ALIAS = "ModelSpec.gpus"
"""Another word for ``devices``, and rendered as that."""
KEYS = sorted(set(CHANGES) - set(REFUSED))
"""All but the one that no file may have."""


@pytest.mark.parametrize("key", KEYS)
def test_what_is_rendered_is_parsed_to_the_same_deployment(key: str) -> None:
    for data in pair(key):
        desired = spec.parse(data, NOW)
        assert spec.parse(render(desired), NOW) == desired


@pytest.mark.parametrize("base", BASES)
def test_defaults_are_left_out(base: str) -> None:
    assert flatten(render(spec.parse(BASES[base], NOW))) == flatten(BASES[base])


@pytest.mark.parametrize("key", [key for key in KEYS if key != ALIAS])
def test_a_changed_key_is_the_only_change(key: str) -> None:
    before, after = pair(key)
    old, new = flatten(before), flatten(after)
    rendered = [render(spec.parse(data, NOW)) for data in (before, after)]
    found = changes(*rendered)
    assert {one.what for one in found} == {name for name in {*old, *new} if old.get(name) != new.get(name)}
    assert all(one.before != one.after for one in found)


def test_a_default_is_named_where_the_other_side_has_a_value() -> None:
    before, after = pair("SpecFile.rollout")
    rendered = [render(spec.parse(data, NOW)) for data in (before, after)]
    found = {one.what: (one.before, one.after) for one in changes(*rendered)}
    assert found == {
        "rollout.strategy": ("linear", "all_at_once"),
        "rollout.step": ("25%", None),
        "rollout.wait": ("1h", "0"),
        "rollout.final_bake": ("1m", "0"),
    }


def test_the_order_of_alarms_is_no_change() -> None:
    base = BASES["plain"]
    turned = {**base, "alarms": dict(reversed(base["alarms"].items()))}
    assert changes(*(render(spec.parse(data, NOW)) for data in (base, turned))) == []


durations = st.one_of(
    st.integers(0, 10**7).map(lambda n: f"{n}s"),
    st.integers(1, 10**6).map(lambda n: f"{n}ms"),
    st.decimals("0.001", 10**4, places=4).map(lambda n: f"{n}s"),
    st.tuples(st.integers(0, 30), st.integers(0, 23), st.integers(1, 59)).map(lambda n: "{}d{}h{}m".format(*n)),
)


@given(durations)
def test_a_time_is_read_back_as_the_same_number(text: str) -> None:
    assert duration(duration_text(duration(text, ())), ()) == duration(text, ())


@given(
    st.one_of(
        durations.map(lambda text: (text, "ModelLatency")),
        st.tuples(st.decimals(0, 100, places=3).map(lambda n: f"{n}%"), st.just("Invocation5XXErrors")),
    )
)
def test_a_threshold_is_read_back_as_the_same_number(one: tuple[str, str]) -> None:
    text, metric = one
    value = threshold(text, metric, ())
    assert threshold(threshold_text(value, metric), metric, ()) == value


@given(st.integers(0, 2**45))
def test_memory_is_read_back_as_the_same_number(size: int) -> None:
    assert memory(bytes_text(size), ()) == size


@given(st.integers(1, 10**6), st.sampled_from("smh"))
def test_a_rate_is_read_back_as_the_same_number(count: int, unit: str) -> None:
    base = {**BASES["plain"], "quotas": {"rate": f"{count}/{unit}"}}
    try:
        desired = spec.parse(base, NOW)
    except TidegateError:  # too fast, or too slow to fill a bucket
        return
    quotas = desired.config.variants[0].admission.quotas
    assert quotas is not None
    again = spec.parse({**base, "quotas": {"rate": rate_text(quotas.rate.per_second)}}, NOW)
    assert again.config == desired.config
