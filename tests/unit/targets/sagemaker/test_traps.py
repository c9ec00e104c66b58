"""The 22 traps of SageMaker as a target, each against a fake that has it. Numbers are those of
docs/dev/sagemaker-traps.md."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.targets.sagemaker.aws_account import CANARY, IMAGE, Account
from tests.unit.targets.sagemaker.aws_specs import compiled, options, serving
from tidegate.domain.errors import InProgress, TargetRefused
from tidegate.ports.direct import SmokeRequest
from tidegate.targets.sagemaker.model_data import measure
from tidegate.targets.sagemaker.outcome import UpdateOutcome

INSTANCES = "sagemaker:variant:DesiredInstanceCount"
SCALING = {"min": 2, "max": 8, "target": 5, "rule": "aws"}


@pytest.fixture
def account() -> Account:
    return Account()


def serve(account: Account, **more: Any) -> None:
    """Version 1 serves."""
    assert account.deploy(1, **more).verdict.outcome is UpdateOutcome.SUCCEEDED


def begin_update(account: Account, seconds: float, **more: Any) -> None:
    account.deploy(2, wait=False, **more)
    account.aws.clock.advance(seconds)


def test_trap_1_waits_until_what_was_created_is_visible(account: Account) -> None:
    account.aws.sagemaker.visibility = 40
    assert account.deploy().verdict.outcome is UpdateOutcome.SUCCEEDED
    assert account.deploy(2).verdict.outcome is UpdateOutcome.SUCCEEDED
    assert account.count("CreateEndpointConfig") == 2


def test_trap_2_a_fresh_role_is_waited_for(account: Account) -> None:
    account.aws.sagemaker.role_ready_at = account.aws.clock.now() + timedelta(seconds=60)
    assert account.deploy().verdict.outcome is UpdateOutcome.SUCCEEDED


def test_trap_2_a_role_that_never_works_is_refused(account: Account) -> None:
    account.aws.sagemaker.role_ready_at = account.aws.clock.now() + timedelta(days=1)
    with pytest.raises(TargetRefused, match="Could not assume role"):
        account.deploy()
    waited = account.aws.clock.now() - timedelta(minutes=5)
    assert waited < account.aws.sagemaker.role_ready_at - timedelta(hours=23)


def test_trap_2_other_refusals_of_a_model_are_not_repeated(account: Account) -> None:
    account.aws.faults.denied.add("CreateModel")
    with pytest.raises(TargetRefused, match="lack the right sagemaker:CreateModel"):
        account.deploy()
    assert account.count("CreateModel") == 1


@pytest.mark.parametrize("tells", [True, False])
def test_trap_3_a_silent_rollback_is_told_as_a_rollback(account: Account, tells: bool) -> None:
    serve(account)
    account.aws.sagemaker.tells_reason = tells
    account.aws.traffic["fraud"] = 10
    second = account.deployer().compile(account.wish(2), {}, account.aws.clock.now())
    account.aws.failing_models.add(second.models[0].params["ModelName"])
    first = account.endpoint.config
    deployed = account.deploy(2)
    assert account.endpoint.status == "InService" and account.endpoint.config == first
    assert deployed.verdict.outcome is UpdateOutcome.ROLLED_BACK and deployed.verdict.outcome.exit_code == 3
    assert ("ALARM" in deployed.verdict.message) is tells
    assert account.deployer().status("fraud").outcome is UpdateOutcome.ROLLED_BACK


def test_trap_3_an_endpoint_in_service_before_its_update_is_seen_is_no_rollback(account: Account) -> None:
    serve(account)
    account.aws.sagemaker.visibility = 40
    verdict = account.deploy(2, wait=False).verdict
    assert verdict.outcome is UpdateOutcome.IN_PROGRESS
    assert account.deployer().watch("fraud").outcome is UpdateOutcome.SUCCEEDED


def test_trap_4_only_old_versions_are_collected(account: Account) -> None:
    account.given["keep_versions"] = 1
    for count in range(2, 10, 2):
        account.deploy(1, instances=count)
    assert account.aws.sagemaker.damage == []
    kept = {*account.aws.sagemaker.configs}
    assert account.endpoint.config in kept and len(kept) == 2
    assert account.deploy(2).verdict.outcome is UpdateOutcome.SUCCEEDED


def test_trap_4_nothing_of_others_is_deleted(account: Account) -> None:
    serve(account)
    boto = account.aws.session().client("sagemaker")
    boto.create_model(
        ModelName="fraud-theirs", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=options().role_arn
    )
    alarm = dict(account.aws.made("PutMetricAlarm")[0])
    account.client().call("cloudwatch", "PutMetricAlarm", {**alarm, "AlarmName": "fraud-theirs", "Tags": []})
    account.deployer().delete("fraud")
    assert set(account.aws.sagemaker.models) == {"fraud-theirs"}
    assert account.aws.sagemaker.configs == {} and set(account.aws.cloudwatch.alarms) == {"fraud-theirs"}


def test_trap_4_an_endpoint_of_others_is_not_touched(account: Account) -> None:
    serve(account)
    account.endpoint.tags.clear()
    for attempt in (lambda: account.deploy(2), lambda: account.deployer().delete("fraud")):
        with pytest.raises(TargetRefused, match="does not belong to endpoint fraud of tidegate"):
            attempt()
    assert account.count("UpdateEndpoint") == 0 and account.count("DeleteEndpoint") == 0


def test_trap_5_what_exists_with_the_same_content_is_used(account: Account) -> None:
    serve(account)
    account.deployer().delete("fraud")
    serve(account)
    again = account.deploy()
    assert not again.changed and again.verdict.outcome is UpdateOutcome.SUCCEEDED


def test_trap_5_what_exists_with_other_content_is_refused(account: Account) -> None:
    planned = account.deployer().compile(account.wish(), {}, account.aws.clock.now())
    name = planned.models[0].params["ModelName"]
    boto = account.aws.session().client("sagemaker")
    boto.create_model(ModelName=name, PrimaryContainer={"Image": "other"}, ExecutionRoleArn=options().role_arn)
    with pytest.raises(TargetRefused, match=r"exists with other content \(PrimaryContainer.Image\)"):
        account.deploy()


def test_trap_6_a_creation_that_hangs_is_resumed_by_name(account: Account) -> None:
    account.aws.sagemaker.stuck.add("fraud")
    account.deploy(wait=False)
    account.aws.clock.advance(7200)
    with pytest.raises(InProgress, match="deletes nothing that is changing"):
        account.deployer().delete("fraud")
    account.aws.sagemaker.stuck.clear()
    assert account.deploy().verdict.outcome is UpdateOutcome.SUCCEEDED
    assert account.count("CreateEndpoint") == 1


def test_trap_6_a_failed_creation_is_replaced(account: Account) -> None:
    account.aws.sagemaker.without_capacity.add("ml.c5.large")
    deployed = account.deploy()
    assert deployed.verdict.outcome is UpdateOutcome.FAILED and "CapacityError" in deployed.verdict.message
    account.aws.sagemaker.without_capacity.clear()
    assert account.deploy().verdict.outcome is UpdateOutcome.SUCCEEDED


def test_trap_7_the_first_version_is_tried(account: Account) -> None:
    account.aws.runtime.status = 500
    with pytest.raises(TargetRefused, match="its smoke request failed"):
        account.deployer().deploy(account.wish(), {}, account.aws.clock.now(), smoke=SmokeRequest(b"1,2"))
    assert any("first version" in note for note in compiled().notes)


def test_trap_8_the_time_limit_is_waits_and_provisioning(account: Account) -> None:
    found = compiled(serving(), rollout=CANARY)
    policy = found.change.params["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["MaximumExecutionTimeoutInSeconds"] == 600 + 300 + 900 + 480 + 900


def test_trap_9_a_first_step_larger_than_asked_is_refused_or_accepted(account: Account) -> None:
    small = {**CANARY, "size": "10%"}
    assert any("50% of the traffic and not 10%" in text for text in compiled(serving(), rollout=small).refusals)
    accepted = compiled(serving(), options(accept_larger_steps=True), rollout=small)
    assert accepted.refusals == () and [step.share for step in accepted.steps] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("was", "more"),
    [
        (serving(type="ml.inf1.xlarge"), {}),
        (serving(type="", serverless=True), {}),
        (serving(name="other"), {}),
        (None, {"serverless": {"memory": "2GiB", "max_concurrency": 5}, "instances": 1, "instance_type": "local"}),
    ],
)
def test_trap_10_excluded_endpoints_need_a_consent(was: Any, more: dict[str, Any]) -> None:
    assert any("all at once" in text for text in compiled(was, rollout=CANARY, **more).refusals)
    accepted = compiled(was, options(accept_all_at_once=True), rollout=CANARY, **more)
    assert accepted.refusals == () and "DeploymentConfig" not in accepted.change.params


def test_trap_11_an_alarm_that_fires_already_is_refused(account: Account) -> None:
    serve(account)
    account.aws.cloudwatch.put("payroll", "Down", {}, 1.0, account.aws.clock.now())
    down = {
        "down": {
            "metric": "Down", "namespace": "payroll", "statistic": "Maximum", "above": 0,
            "period": "1m", "periods": 1, "missing": "breaching",
        }
    }  # fmt: skip
    planned = account.deployer().compile(account.wish(2, alarms=down), {}, account.aws.clock.now())
    account.client().call("cloudwatch", "PutMetricAlarm", dict(planned.alarms[0].params))
    account.aws.clock.advance(180)
    with pytest.raises(TargetRefused, match="is in ALARM already"):
        account.deploy(2, alarms=down)
    assert account.count("UpdateEndpoint") == 0


def test_trap_11_alarms_have_periods_and_units_of_sagemaker() -> None:
    slow = {"metric": "ModelLatency", "statistic": "p99", "above": "100ms", "period": "10s", "periods": 6}
    found = compiled(serving(), alarms={"slow": slow})
    params = found.alarms[0].params
    assert (params["Period"], params["EvaluationPeriods"]) == (60, 1)
    assert params["Threshold"] == 100_000 and params["TreatMissingData"] == "notBreaching"
    finer = compiled(serving(), options(enhanced_metrics=True), alarms={"slow": slow})
    assert finer.alarms[0].params["Period"] == 10
    assert finer.config.params["MetricsConfig"]["MetricPublishFrequencyInSeconds"] == 10


def test_trap_12_abort_rolls_back_by_an_alarm_of_its_own(account: Account) -> None:
    serve(account)
    first = account.endpoint.config
    begin_update(account, 400)
    verdict = account.deployer().abort("fraud")
    assert verdict.outcome is UpdateOutcome.ROLLED_BACK and account.endpoint.config == first
    assert account.endpoint.history[-1][1] == 0.0


def test_trap_12_abort_before_the_first_bake_rolls_back_in_it(account: Account) -> None:
    serve(account)
    begin_update(account, 30)
    assert account.deployer().abort("fraud").outcome is UpdateOutcome.ROLLED_BACK


def test_trap_12_an_update_without_the_alarm_cannot_be_aborted(account: Account) -> None:
    serve(account)
    begin_update(account, 400)
    account.aws.cloudwatch.alarms.clear()
    account.endpoint.pending.guards.clear()  # type: ignore[union-attr]
    with pytest.raises(TargetRefused, match="no abort alarm"):
        account.deployer().abort("fraud")


@pytest.mark.parametrize("traffic", [0, 20])
def test_trap_13_evidence_is_required_by_the_watcher(account: Account, traffic: int) -> None:
    rollout = {**CANARY, "require_evidence": True}
    serve(account, rollout=rollout)
    account.aws.traffic["fraud"] = traffic
    verdict = account.deploy(2, rollout=rollout).verdict
    assert verdict.outcome is (UpdateOutcome.SUCCEEDED if traffic else UpdateOutcome.ROLLED_BACK)


@pytest.mark.parametrize("traffic", [0, 20])
def test_trap_13_evidence_is_required_by_whoever_watches_later(account: Account, traffic: int) -> None:
    rollout = {**CANARY, "require_evidence": True}
    serve(account, rollout=rollout)
    account.aws.traffic["fraud"] = traffic
    account.deploy(2, wait=False, rollout=rollout)
    verdict = account.deployer().watch("fraud")
    assert verdict.outcome is (UpdateOutcome.SUCCEEDED if traffic else UpdateOutcome.ROLLED_BACK)


def test_trap_13_an_update_that_requires_no_evidence_is_not_aborted_for_that_of_an_earlier_one(
    account: Account,
) -> None:
    serve(account, rollout={**CANARY, "require_evidence": True})
    account.aws.traffic["fraud"] = 0
    account.deploy(2, wait=False)
    assert account.deployer().watch("fraud").outcome is UpdateOutcome.SUCCEEDED


def test_tags_that_leave_no_room_for_tidegates_own_are_refused_before_anything_is_made(account: Account) -> None:
    with pytest.raises(TargetRefused, match="at most 50"):
        account.deploy(tags={f"key{number}": "v" for number in range(47)})
    assert account.aws.made("CreateModel") == []


def test_trap_14_another_instance_type_is_deregistered_first(account: Account) -> None:
    serve(account, autoscaling=SCALING)
    deployed = account.deploy(2, instance_type="ml.c5.xlarge", autoscaling=SCALING)
    assert deployed.verdict.outcome is UpdateOutcome.SUCCEEDED
    names = [name for name, _ in account.aws.calls]
    assert names.index("DeregisterScalableTarget") < names.index("UpdateEndpoint")
    assert len(account.aws.autoscaling.targets) == 1


def test_trap_14_a_fleet_at_its_peak_keeps_its_size(account: Account) -> None:
    serve(account, autoscaling=SCALING)
    for variant in account.endpoint.variants.values():
        variant.count = variant.desired_count = 8
    account.deploy(2, autoscaling=SCALING)
    assert account.endpoint.variants["AllTraffic"].count == 8
    update = account.aws.made("UpdateEndpoint")[0]
    assert update["ExcludeRetainedVariantProperties"] == [{"VariantPropertyType": "DesiredWeight"}]


def test_trap_14_steps_are_those_of_the_retained_count() -> None:
    found = compiled(serving(count=8, scalable=(INSTANCES,)), rollout=CANARY, autoscaling=SCALING)
    assert [step.instances for step in found.steps] == [4, 8]


def test_trap_15_deleting_deregisters_first(account: Account) -> None:
    serve(account, autoscaling=SCALING)
    left = account.deployer().delete("fraud")
    assert account.aws.sagemaker.endpoints == {} and account.aws.autoscaling.targets == {}
    assert any("S3 stays" in line for line in left)


def test_trap_16_a_change_of_counts_is_waited_for(account: Account) -> None:
    serve(account)
    boto = account.aws.session().client("sagemaker")
    change = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 3}]
    boto.update_endpoint_weights_and_capacities(EndpointName="fraud", DesiredWeightsAndCapacities=change)
    assert account.deploy(2).verdict.outcome is UpdateOutcome.SUCCEEDED


def test_trap_16_another_rollout_is_not_disturbed(account: Account) -> None:
    serve(account)
    begin_update(account, 400)
    with pytest.raises(InProgress, match="is being updated to"):
        account.deploy(1, instances=4)
    assert account.count("UpdateEndpoint") == 1


def test_trap_17_a_quota_that_is_too_small_is_told_with_what_to_do(account: Account) -> None:
    serve(account)
    account.aws.sagemaker.quotas["ml.c5.large"] = 3
    with pytest.raises(TargetRefused, match="use strategy: rolling"):
        account.deploy(2)


def test_trap_17_capacity_that_lacks_late_is_a_rollback(account: Account) -> None:
    serve(account)
    account.aws.sagemaker.without_capacity.add("ml.c5.xlarge")
    verdict = account.deploy(2, instance_type="ml.c5.xlarge").verdict
    assert verdict.outcome is UpdateOutcome.ROLLED_BACK


@pytest.mark.parametrize("operation", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"])
def test_trap_18_after_a_lost_answer_nothing_is_done_twice(account: Account, operation: str) -> None:
    if operation == "UpdateEndpoint":
        serve(account)
    before = account.count(operation)
    account.aws.faults.lost[operation] = 1
    assert account.deploy(2).verdict.outcome is UpdateOutcome.SUCCEEDED
    assert account.count(operation) == before + 1


@pytest.mark.parametrize("operation", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"])
def test_trap_18_a_call_that_never_arrived_is_made_again(account: Account, operation: str) -> None:
    if operation == "UpdateEndpoint":
        serve(account)
    account.aws.faults.dropped[operation] = 2
    assert account.deploy(2).verdict.outcome is UpdateOutcome.SUCCEEDED


def test_trap_18_throttled_calls_are_repeated_with_growing_pauses(account: Account) -> None:
    for operation in ("CreateModel", "DescribeEndpoint", "UpdateEndpoint", "PutMetricAlarm", "DescribeAlarms"):
        account.aws.faults.throttled[operation] = 3
    serve(account)
    assert account.deploy(2).verdict.outcome is UpdateOutcome.SUCCEEDED
    pauses = [seconds for seconds in account.aws.clock.slept if seconds < 5]
    assert pauses[:3] == sorted(pauses[:3]) and pauses[0] < pauses[2]


def test_trap_18_endless_throttling_ends_in_an_error(account: Account) -> None:
    account.aws.faults.throttled["DescribeEndpoint"] = 1_000_000
    with pytest.raises(Exception, match="throttles"):
        account.deploy()
    assert max(account.aws.clock.slept) <= 30


def test_trap_19_images_are_pinned_and_of_the_region() -> None:
    tagged = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/own:latest"
    elsewhere = "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"
    assert any("by digest" in note for note in compiled(model={"image": tagged}).notes)
    assert any("copy the image" in text for text in compiled(model={"image": elsewhere}).refusals)


def test_trap_20_an_object_with_other_content_is_not_overwritten(account: Account, tmp_path: Any) -> None:
    model = tmp_path / "model.tar.gz"
    model.write_bytes(b"trees")
    address = f"file://{model}"
    local = {address: measure(address)}
    wish = account.wish(model={"image": IMAGE, "data": address})
    (upload,) = account.deployer().compile(wish, local, account.aws.clock.now()).uploads
    account.aws.s3.add(f"s3://{upload.bucket}/{upload.key}", b"others")
    with pytest.raises(TargetRefused, match="is not overwritten"):
        account.deployer().deploy(wish, local, account.aws.clock.now())
    del account.aws.s3.objects[upload.bucket, upload.key]
    account.deployer().deploy(wish, local, account.aws.clock.now())
    account.deployer().deploy(wish, local, account.aws.clock.now())
    assert account.aws.s3.puts == [upload.key]


def test_trap_21_what_is_created_has_the_digest_and_the_owner(account: Account) -> None:
    serve(account, tags={"team": "payroll"})
    for kept in (account.aws.sagemaker.models, account.aws.sagemaker.configs):
        for found in kept.values():
            assert set(found["tags"]) == {"team", "tidegate:managed", "tidegate:endpoint", "tidegate:digest"}
    assert account.endpoint.tags["tidegate:config"] == account.endpoint.config
    in_vpc = compiled(given=options(subnets=["subnet-1"], security_groups=["sg-1"], kms_key="key"))
    assert any("twice the addresses" in note for note in in_vpc.notes)
    assert any("NVMe" in note for note in in_vpc.notes)


def test_trap_22_the_deployment_config_is_sent_each_time(account: Account) -> None:
    serve(account)
    account.deploy(2)
    account.deploy(1, instances=4)
    updates = account.aws.made("UpdateEndpoint")
    assert len(updates) == 2
    assert all("DeploymentConfig" in one and one["RetainDeploymentConfig"] is False for one in updates)


def test_trap_22_a_real_time_endpoint_cannot_become_serverless() -> None:
    wanted: dict[str, Any] = {
        "serverless": {"memory": "2GiB", "max_concurrency": 5},
        "instances": 1,
        "instance_type": "local",
    }
    found = compiled(serving(), options(accept_all_at_once=True), **wanted)
    assert any("cannot become serverless" in text for text in found.refusals)
