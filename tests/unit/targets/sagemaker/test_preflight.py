"""The preflight reads only, and says what is missing and what to do."""

import json
from typing import Any

import pytest

from tests.unit.targets.sagemaker.aws_account import Account
from tests.unit.targets.sagemaker.aws_specs import options
from tidegate.ports.target import CheckFinding, Level
from tidegate.targets.sagemaker.commands import check_with
from tidegate.targets.sagemaker.policy import actions_of, caller_policy, role_policy


@pytest.fixture
def account() -> Account:
    made = Account()
    made.aws.sagemaker.quotas["ml.c5.large"] = 10
    return made


def findings(account: Account, **more: Any) -> list[CheckFinding]:
    return check_with(account.client(), options(**account.given), account.wish(**more))


def bad(found: list[CheckFinding]) -> list[tuple[str, Level]]:
    return [(one.what, one.level) for one in found if one.level is not Level.OK]


def test_nothing_is_missing_and_nothing_is_changed(account: Account) -> None:
    found = findings(account)
    assert bad(found) == []
    assert {name for name, _ in account.aws.calls if not name.startswith(("Describe", "Get", "List", "Head"))} == {
        "SimulatePrincipalPolicy"
    }


def test_credentials_of_another_account_are_told(account: Account) -> None:
    account.aws.identity.account = "999999999999"
    (found,) = [one for one in findings(account) if one.level is Level.ERROR]
    assert "999999999999" in found.message and "AWS_PROFILE" in found.remedy


def test_missing_role_bucket_data_and_image_are_told(account: Account) -> None:
    account.aws.identity.roles.clear()
    account.aws.s3.objects.clear()
    account.aws.registry.knows_all = False
    assert bad(findings(account)) == [
        ("execution role", Level.ERROR),
        ("model data", Level.ERROR),
        ("images", Level.ERROR),
    ]


def test_bucket_of_another_region_is_told(account: Account) -> None:
    account.aws.s3.buckets["models-bucket"] = "us-east-1"
    assert any("is in us-east-1" in one.message for one in findings(account))


def test_denied_actions_are_named(account: Account) -> None:
    account.aws.identity.forbidden.add("sagemaker:AddTags")
    found = [one for one in findings(account) if one.what == "permissions"]
    assert found[0].level is Level.ERROR and "sagemaker:AddTags" in found[0].message


@pytest.mark.parametrize("page", [1, 3])
def test_an_action_that_is_denied_on_a_later_page_is_named(account: Account, page: int) -> None:
    account.aws.identity.simulated_page = page
    compiled = account.deployer().compile(account.wish(), {}, account.aws.clock.now())
    last = actions_of(caller_policy(compiled, options()))[-1]
    account.aws.identity.forbidden.add(last)
    (found,) = [one for one in findings(account) if one.what == "permissions"]
    assert found.level is Level.ERROR and last in found.message


def test_what_cannot_be_read_is_unknown_and_not_good(account: Account) -> None:
    account.aws.faults.denied.add("SimulatePrincipalPolicy")
    assert ("permissions", Level.UNKNOWN) in bad(findings(account))


def test_quota_counts_both_fleets_of_an_update(account: Account) -> None:
    account.aws.sagemaker.quotas["ml.c5.large"] = 3
    assert bad(findings(account)) == []
    account.deploy()
    assert bad(findings(account)) == [("quota", Level.ERROR)]
    assert any("2 and 2 at the same time" in one.message for one in findings(account))


def test_deleted_config_of_a_serving_endpoint_is_told(account: Account) -> None:
    account.deploy()
    account.aws.sagemaker.configs.clear()
    assert ("endpoint", Level.ERROR) in bad(findings(account, instances=4))


def test_refusals_of_the_compiler_are_findings(account: Account) -> None:
    assert ("spec", Level.ERROR) in bad(findings(account, rollout={"strategy": "canary", "size": "5%"}))


def test_policy_has_every_call_that_a_life_makes(account: Account) -> None:
    """Whatever the fake saw from deploying, updating, aborting and deleting is allowed by the policy."""
    scaling = {"min": 2, "max": 4, "target": 5, "rule": "aws"}
    compiled = account.deploy(1, autoscaling=scaling).compiled
    account.deploy(2, autoscaling=scaling, wait=False)
    account.aws.clock.advance(400)
    account.deployer().abort("fraud")
    account.deployer().delete("fraud")
    allowed = {action.split(":")[1] for action in actions_of(caller_policy(compiled, options()))}
    assert {name for name, _ in account.aws.calls} - allowed == set()


def test_policies_name_resources_and_are_json(account: Account) -> None:
    compiled = account.deployer().compile(account.wish(), {}, account.aws.clock.now())
    caller, role = caller_policy(compiled, options()), role_policy(compiled, options())
    assert json.loads(json.dumps([caller, role]))
    hosting = next(one for one in caller["Statement"] if one["Sid"] == "Hosting")
    assert all(":endpoint/fraud" in one or "/fraud-*" in one for one in hosting["Resource"])
    assert "cloudwatch:DescribeAlarms" in actions_of(role)
    data = next(one for one in role["Statement"] if one["Sid"] == "ModelData")
    assert data["Resource"] == ["arn:aws:s3:::models-bucket/v1.tar.gz"]
    passing = next(one for one in caller["Statement"] if one["Sid"] == "ExecutionRole")
    assert passing["Resource"] == [options().role_arn]
