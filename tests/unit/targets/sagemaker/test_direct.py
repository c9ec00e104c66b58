"""Commands of native mode that only look: what a deployment would change, and the output of instances."""

import pytest

from tests.unit.targets.sagemaker.aws_account import Account
from tests.unit.targets.sagemaker.aws_specs import ALARMS
from tidegate.domain.errors import NotFound
from tidegate.targets.sagemaker.changes import compare, find_changes
from tidegate.targets.sagemaker.direct import SagemakerDirect


@pytest.fixture
def account() -> Account:
    return Account()


def direct(account: Account) -> SagemakerDirect:
    return SagemakerDirect(account.deployer(), account.said.append)


def test_a_new_endpoint_is_new_in_every_key(account: Account) -> None:
    found = {one.what: one for one in direct(account).diff(account.wish(1))}
    assert found["ProductionVariants.AllTraffic.InitialInstanceCount"].after == "2"
    assert found["models.AllTraffic.PrimaryContainer.ModelDataUrl"].after.endswith("v1.tar.gz")
    assert all(one.before == "" for one in found.values())
    assert account.count("CreateModel") == 0


def test_what_serves_already_is_no_change(account: Account) -> None:
    account.deploy(1)
    assert direct(account).diff(account.wish(1)) == []


def test_a_change_is_named_with_both_values_and_changes_nothing(account: Account) -> None:
    config = account.deploy(1).compiled.config_name
    found = direct(account).diff(account.wish(2, instances=4))
    assert [(one.what, one.before, one.after) for one in found] == [
        ("ProductionVariants.AllTraffic.InitialInstanceCount", "2", "4"),
        (
            "models.AllTraffic.PrimaryContainer.ModelDataUrl",
            "s3://models-bucket/v1.tar.gz",
            "s3://models-bucket/v2.tar.gz",
        ),
    ]
    assert account.endpoint.config == config and account.count("UpdateEndpoint") == 0


def test_variables_that_go_are_changes_and_defaults_of_aws_are_none() -> None:
    before = {"Environment": {"A": "1", "B": "2"}, "Mode": "SingleModel"}
    found = list(compare({"Environment": {"A": "1"}}, before, ""))
    assert [(one.what, one.before, one.after) for one in found] == [("Environment.B", "2", "")]


def test_changes_are_found_by_the_deployers_own_plan(account: Account) -> None:
    account.deploy(1)
    compiled = account.deployer().compile(account.wish(2), {}, account.aws.clock.now())
    assert [one.what for one in find_changes(account.client(), compiled)] == [
        "models.AllTraffic.PrimaryContainer.ModelDataUrl"
    ]


SCALING = {"min": 2, "max": 8, "target": 5, "rule": "aws"}


def test_a_threshold_that_changes_is_shown_with_and_without_another_model(account: Account) -> None:
    down = {"errors": {**ALARMS["errors"], "above": "5%"}}
    account.deploy(1)
    assert direct(account).diff(account.wish(1)) == []
    for version in (1, 2):
        found = direct(account).diff(account.wish(version, alarms=down))
        assert [(one.before, one.after) for one in found if one.what == "alarms.errors.Threshold"] == [
            ("0.02", "0.05")
        ]


def test_autoscaling_that_changes_or_goes_is_shown_and_done_although_the_config_stays(account: Account) -> None:
    account.deploy(1, autoscaling=SCALING)
    assert direct(account).diff(account.wish(1, autoscaling=SCALING)) == []
    found = direct(account).diff(account.wish(1, autoscaling={**SCALING, "max": 20}))
    assert [(one.what.rpartition(".")[2], one.before, one.after) for one in found] == [("MaxCapacity", "8", "20")]
    (gone,) = direct(account).diff(account.wish(1))
    assert (gone.what, gone.after) == ("autoscaling.endpoint/fraud/variant/AllTraffic", "")
    assert not account.deploy(1).changed
    assert account.aws.autoscaling.targets == {}


def test_the_last_lines_of_each_instance_are_shown(account: Account) -> None:
    account.deploy(1)
    lines = [(1000 * number, f"line {number}") for number in range(5)]
    account.aws.logs.groups["/aws/sagemaker/Endpoints/fraud"] = {
        "AllTraffic/i-1": lines,
        "AllTraffic/i-2": lines[:1],
    }
    found = direct(account).logs("fraud", 2)
    assert {one.replica: one.lines for one in found} == {"i-1": ("line 3", "line 4"), "i-2": ("line 0",)}
    assert {one.variant for one in found} == {"AllTraffic"}


def test_an_endpoint_that_wrote_nothing_has_no_lines_and_a_missing_one_is_named(account: Account) -> None:
    account.deploy(1)
    assert direct(account).logs("fraud", 2) == []
    with pytest.raises(NotFound, match='no endpoint "other"'):
        direct(account).logs("other", 2)
