"""Addresses that only stand for model data."""

import pytest

from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.spec.paths import resolve
from tidegate.spec.placeholders import (
    PLAN_TAG,
    PLANNED_FILES,
    has_impossible_bucket,
    planned_address,
    refuse_placeholders,
)
from tidegate.spec.problem import SpecError

TAGS = {PLAN_TAG: "0123456789ab"}


def refused(data: dict[str, object]) -> bool:
    """Whether a spec is refused, as it is written and as it is sent."""
    found = []
    for given in (data, resolve(data, "/work")):
        try:
            refuse_placeholders(given)
        except SpecError as error:
            assert "is a placeholder" in error.message
            found.append(True)
        else:
            found.append(False)
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("address", "stands_for_one"),
    [
        ("s3://models/...", True),
        ("s3://.../model.tar.gz", True),
        ("s3://models-.../model.tar.gz", True),
        ("s3://models/…", True),
        ("s3://<your-bucket>/model.tar.gz", True),
        ("s3://bucket/<version>/model.tar.gz", True),
        ("file:///srv/.../model.ubj", True),
        (".../model.ubj", True),
        ("./model...v2.ubj", False),
        ("./model<2>.ubj", False),
        ("s3://models/fraud/model.tar.gz", False),
        ("s3://bucket/a..b/model.tar.gz", False),
        ("s3://bucket/a>b.tar.gz", False),
    ],
)
def test_an_address_with_a_part_to_fill_in_is_a_placeholder(address: str, stands_for_one: bool) -> None:
    model = {"model": {"data": address}}
    assert refused({"endpoint": "fraud", **model}) is stands_for_one
    assert refused({"endpoint": "fraud", "variants": [{"name": "a", **model}]}) is stands_for_one
    assert refused({"endpoint": "fraud", "shadow": model}) is stands_for_one
    assert refused({"endpoint": "fraud", "pipeline": [{"name": "a", "data": address}]}) is stands_for_one


@pytest.mark.parametrize("file", PLANNED_FILES)
def test_the_address_of_a_plan_counts_in_its_own_spec_only(file: str) -> None:
    own, part = planned_address("fraud", None, file), planned_address("fraud", "score", file)
    assert refused({"endpoint": "fraud", "model": {"data": own}, "tags": TAGS})
    assert refused({"endpoint": "fraud", "containers": [{"name": "score", "data": part}], "tags": TAGS})
    assert not refused({"endpoint": "fraud", "model": {"data": own}})
    assert not refused({"endpoint": "other", "model": {"data": own}, "tags": TAGS})
    assert not refused({"endpoint": "fraud", "model": {"data": part}, "tags": TAGS})
    assert not refused({"endpoint": "fraud", "model": {"data": own}, "tags": {"team": "risk"}})


def test_every_file_that_the_planner_names_is_known() -> None:
    assert {kind.descriptor.planner_data for kind in RuntimeKind} | {""} == set(PLANNED_FILES)


@pytest.mark.parametrize(
    ("address", "impossible"),
    [
        ("s3://<bucket>/x", True),
        ("s3://.../x", True),
        ("s3://my-.../x", True),
        ("s3://models/...", False),
        ("s3://models/<key>", False),
        ("s3://arn:aws:s3:us-east-1:123456789012:accesspoint/models/x", False),
        ("https://s3.amazonaws.com/<bucket>/x", False),
        ("file:///srv/<model>", False),
    ],
)
def test_only_a_bucket_that_cannot_exist_is_impossible(address: str, impossible: bool) -> None:
    assert has_impossible_bucket(address) is impossible
