"""Every key of a spec file can be explained, and what is said comes from the structures that check it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import Invalid
from tidegate.spec.explain import _all_keys, explain_key

PATHS = sorted(_all_keys())


def test_every_key_says_what_it_means() -> None:
    assert len(PATHS) > 150
    assert [path for path in PATHS if not _all_keys()[path].description] == []


@given(st.sampled_from(PATHS))
def test_a_path_is_explained_as_itself(path: str) -> None:
    assert [one.path for one in explain_key(path)] == [path]


@given(st.text(max_size=40))
def test_whatever_is_asked_only_invalid_comes_out(asked: str) -> None:
    try:
        assert explain_key(asked)
    except Invalid as error:
        assert "\n" not in error.message or "\n" in asked


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("variants[0].weight", "variants.weight"),
        ("alarms.errors.above", "alarms.NAME.above"),
        ("alarms.above", "alarms.NAME.above"),
        ("alarms.errors", "alarms.NAME"),
        ("pipeline[1].multi_model.pin", "pipeline.multi_model.pin"),
        ("wait", "rollout.wait"),
        ("memory", "memory"),
        ("multi_model.disk", "model.multi_model.disk"),
    ],
)
def test_the_end_of_a_path_and_names_in_it_are_enough(asked: str, path: str) -> None:
    assert [one.path for one in explain_key(asked)][:1] == [path]


def test_a_key_that_several_sections_have_is_explained_for_each() -> None:
    assert {one.path for one in explain_key("variant")} == {"autoscaling.variant"}
    assert {one.path for one in explain_key("name")} == {
        *("pipeline.name", "containers.name", "variants.name", "shadow.name")
    }


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("rollout.wiat", "did you mean 'rollout.wait'?"),
        ("strategie", "did you mean 'rollout.strategy'?"),
        ("zzzz", "'tidegate spec explain' lists those at the top"),
        ("model.data.deeper", "did you mean"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(asked: str, hint: str) -> None:
    with pytest.raises(Invalid, match="a spec file has no key") as caught:
        explain_key(asked)
    assert hint in caught.value.message


def test_what_a_value_may_be_is_said() -> None:
    (strategy,) = explain_key("rollout.strategy")
    assert strategy.values == ("all_at_once", "canary", "linear", "rolling")
    assert (strategy.default, strategy.required, strategy.kind) == ("all_at_once", False, "text")
    (limit,) = explain_key("max_in_flight")
    assert (limit.least, limit.most) == (1, 20_000)
    assert explain_key("endpoint")[0].required
    assert explain_key("drift.baseline")[0].required
    assert "90s" in explain_key("rollout.wait")[0].examples


def test_without_a_key_those_at_the_top_are_listed_in_their_order() -> None:
    found = [one.path for one in explain_key("")]
    assert found[:3] == ["endpoint", "target", "model"]
    assert all("." not in path for path in found)
    json.dumps([one.default for one in explain_key("")])
