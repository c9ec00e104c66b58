"""Native mode: deploys by SageMaker's own guardrails, from a command, without a controller.

Every step looks first and may be repeated, so a deployment that was interrupted goes on when it is asked for again.
"""

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Conflict, InProgress, NotFound, TargetRefused
from tidegate.ports.direct import SmokeRequest
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.aws.errors import AwsRefused, ResourceBusy, ResourceMissing, Unanswered
from tidegate.targets.aws.ownership import ACCOUNT, check_own, tag_list
from tidegate.targets.sagemaker import ensure, limits, retire
from tidegate.targets.sagemaker.calls import CompiledDeployment, LocalData, Params, SagemakerCall
from tidegate.targets.sagemaker.compile import compile_native
from tidegate.targets.sagemaker.observe import describe_endpoint, pages, read_serving, read_tags
from tidegate.targets.sagemaker.options import SagemakerOptions
from tidegate.targets.sagemaker.outcome import UpdateOutcome, UpdateStatus, judge
from tidegate.targets.sagemaker.scaling_calls import SERVICE
from tidegate.targets.sagemaker.watching import UpdateWatcher, evidence_of, evidence_tags, read_evidence

OWN = "tidegate-"
"""Names of policies and scheduled actions that tidegate made begin so."""


def apply_scaling(aws: AwsClient, compiled: CompiledDeployment) -> None:
    answers: dict[str, Params] = {}
    for call in compiled.scaling:
        answer = aws.call(call.service, call.operation, _fill_in(call.params, answers))
        if call.key:
            answers[call.key] = answer
    _remove_others(aws, compiled)


def _fill_in(value: Any, answers: dict[str, Params]) -> Any:
    """Return the parameters with members of earlier answers in place of ``${KEY.Member}``."""
    if isinstance(value, dict):
        return {name: _fill_in(one, answers) for name, one in value.items()}
    if isinstance(value, list):
        return [_fill_in(one, answers) for one in value]
    match = re.fullmatch(r"\$\{(\w+)\.(\w+)\}", value) if isinstance(value, str) else None
    return answers[match[1]][match[2]] if match else value


def _remove_others(aws: AwsClient, compiled: CompiledDeployment) -> None:
    for operation, listed, member, removal in (
        ("DescribeScalingPolicies", "ScalingPolicies", "PolicyName", "DeleteScalingPolicy"),
        ("DescribeScheduledActions", "ScheduledActions", "ScheduledActionName", "DeleteScheduledAction"),
    ):
        wanted = {call.params.get(member) for call in compiled.scaling}
        for where in _places(compiled):
            for page in pages(aws, SERVICE, operation, where):
                for one in page[listed]:
                    if one[member].startswith(OWN) and one[member] not in wanted:
                        aws.call(SERVICE, removal, {**where, member: one[member]})


def _places(compiled: CompiledDeployment) -> list[Params]:
    members = ("ServiceNamespace", "ResourceId", "ScalableDimension")
    return [
        {member: call.params[member] for member in members}
        for call in compiled.scaling
        if call.operation == "RegisterScalableTarget"
    ]


WANTED = "tidegate:config"
"""Tag of an endpoint with the config that was last asked for: a later command tells a rollback by it."""
BUSY_WAIT = timedelta(minutes=20)
"""How long a change that is not a deployment (autoscaling, weights) may keep the endpoint busy."""
POLL = 30.0


@dataclass(frozen=True)
class NativeResult:
    compiled: CompiledDeployment
    verdict: UpdateStatus
    changed: bool


class NativeDeployer:
    """``say`` gets a line for each thing that is done."""

    def __init__(
        self, aws: AwsClient, options: SagemakerOptions, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.aws, self.options, self.say = aws, options, say

    def compile(
        self, wish: DesiredDeployment, local: Mapping[str, LocalData], now: datetime
    ) -> CompiledDeployment:
        """Compile a deployment against what serves now. Reads only."""
        there = describe_endpoint(self.aws, wish.endpoint)
        serving = None if there is None or there["EndpointStatus"] == "Failed" else read_serving(self.aws, there)
        return compile_native(wish, self.options, local, serving, now)

    def deploy(
        self,
        wish: DesiredDeployment,
        local: Mapping[str, LocalData],
        now: datetime,
        *,
        wait: bool = True,
        smoke: SmokeRequest | None = None,
    ) -> NativeResult:
        """Deploy an endpoint. Raises TargetRefused before any change for a deployment that SageMaker could not carry
        out."""
        compiled = self.compile(wish, local, now)
        if compiled.refusals:
            raise TargetRefused("; ".join(compiled.refusals))
        if (count := len(_endpoint_tags(compiled))) > limits.TAGS:
            raise TargetRefused(f"tags: {count} with tidegate's own; an endpoint has at most {limits.TAGS}")
        there = self._prepare(compiled)
        present = judge(there, compiled.config_name)
        if present.outcome is UpdateOutcome.SUCCEEDED:
            ensure.ensure_alarms(self.aws, compiled.alarms, ())
            self._deregister(compiled)
            apply_scaling(self.aws, compiled)
            return NativeResult(compiled, present, False)
        if not _goes_to(there, compiled.config_name):
            self._make(compiled)
            compiled = self._change(compiled)
        watcher = UpdateWatcher(self.aws, self.say, wish.endpoint, compiled.config_name, evidence_of(compiled))
        verdict = (
            watcher.follow()
            if wait
            else judge(describe_endpoint(self.aws, compiled.endpoint), compiled.config_name, began=False)
        )
        if verdict.outcome is UpdateOutcome.SUCCEEDED:
            self._finish(compiled, smoke)
        return NativeResult(compiled, verdict, True)

    def status(self, endpoint: str) -> UpdateStatus:
        """Judge the update to the config that was requested last, which a tag of the endpoint names, so that a later
        command can do so, too. Raises NotFound."""
        there = self._describe_own(endpoint)
        tags = read_tags(self.aws, there["EndpointArn"])
        return judge(there, tags.get(WANTED) or str(there["EndpointConfigName"]))

    def watch(self, endpoint: str) -> UpdateStatus:
        """Follow the update in progress to its end. Raises NotFound."""
        there = self._describe_own(endpoint)
        tags = read_tags(self.aws, there["EndpointArn"])
        wanted = tags.get(WANTED) or str(there["EndpointConfigName"])
        return UpdateWatcher(self.aws, self.say, endpoint, wanted, read_evidence(tags)).follow()

    def abort(self, endpoint: str) -> UpdateStatus:
        """Roll the update in progress back. Raises NotFound, or Conflict where there is none."""
        there = self._describe_own(endpoint)
        pending = there.get("PendingDeploymentSummary")
        if pending is None:
            raise Conflict(f"no update of {endpoint} is in progress (it is {there['EndpointStatus']})")
        return UpdateWatcher(self.aws, self.say, endpoint, pending["EndpointConfigName"]).abort()

    def delete(self, endpoint: str, *, wait: bool = True) -> list[str]:
        """Delete the endpoint and what tidegate created for it. Returns what is left, with the reason."""
        return retire.delete_endpoint(self.aws, endpoint, self._describe_own(endpoint), self.say, wait)

    def history(self, endpoint: str) -> list[Params]:
        """Configs that tidegate made for the endpoint, newest first, with what is known of each."""
        there = self._describe_own(endpoint)
        wanted = read_tags(self.aws, there["EndpointArn"]).get(WANTED, "")
        verdict = judge(there, wanted)
        return [
            {
                "config": name,
                "created": created,
                "serves": name == verdict.serving,
                "pending": name == verdict.pending,
                "rolled_back": name == wanted and verdict.outcome is UpdateOutcome.ROLLED_BACK,
            }
            for name, created in retire.own_configs(self.aws, endpoint)
        ]

    def _describe_own(self, endpoint: str) -> Params:
        there = describe_endpoint(self.aws, endpoint)
        if there is None:
            raise NotFound(f'there is no endpoint "{endpoint}" in {self.options.region}')
        check_own(read_tags(self.aws, there["EndpointArn"]), ACCOUNT, endpoint, f'endpoint "{endpoint}"')
        return there

    def _prepare(self, compiled: CompiledDeployment) -> Params | None:
        """The endpoint as it is, once nothing else is in the way."""
        start = self.aws.clock.now()
        while True:
            there = describe_endpoint(self.aws, compiled.endpoint)
            if there is None:
                return None
            self._describe_own(compiled.endpoint)
            status, pending = there["EndpointStatus"], there.get("PendingDeploymentSummary")
            if (status == "InService" and pending is None) or _goes_to(there, compiled.config_name):
                return there
            if status == "Failed":
                self.say(f"{compiled.endpoint} could not be created before; it is deleted and created again")
                retire.remove_failed(self.aws, compiled.endpoint)
                continue
            if pending is not None or status == "Creating":
                doing = f"updated to {pending['EndpointConfigName']}" if pending else "created"
                raise InProgress(
                    f"{compiled.endpoint} is being {doing}; wait for its end, or abort it ('tidegate rollout abort')"
                )
            if status == "UpdateRollbackFailed":
                return there
            if self.aws.clock.now() - start > BUSY_WAIT:
                raise InProgress(f"{compiled.endpoint} is {status} for more than 20 minutes; try again later")
            self.aws.pause(POLL)

    def _make(self, compiled: CompiledDeployment) -> None:
        ensure.ensure_uploads(self.aws, compiled.uploads, self.say)
        for call in (*compiled.models, compiled.config):
            ensure.ensure_created(self.aws, call, self.say)
        ensure.ensure_alarms(self.aws, compiled.alarms, compiled.guards)

    def _change(self, compiled: CompiledDeployment) -> CompiledDeployment:
        """CreateEndpoint or UpdateEndpoint, once. Returns what was carried out."""
        self._deregister(compiled)
        if not compiled.creates:
            arn = self._describe_own(compiled.endpoint)["EndpointArn"]
            tags = _endpoint_tags(compiled)
            self.aws.call("sagemaker", "AddTags", {"ResourceArn": arn, "Tags": tag_list(tags)})
        call = _with_wanted(compiled)
        self.say(f"{call.operation} {compiled.endpoint} with {compiled.config_name}")
        start = self.aws.clock.now()
        while True:
            try:
                self.aws.call(call.service, call.operation, dict(call.params))
                return compiled
            except (Unanswered, ResourceBusy):
                pass  # looked at below: the call may have been carried out
            if _goes_to(describe_endpoint(self.aws, compiled.endpoint), compiled.config_name):
                return compiled
            if self.aws.clock.now() - start > BUSY_WAIT:
                raise InProgress(f"{compiled.endpoint} is busy for more than 20 minutes; try again later")
            self.aws.pause(POLL)

    def _deregister(self, compiled: CompiledDeployment) -> None:
        for call in compiled.before:
            self.say(f"{call.operation}: {call.why}")
            with contextlib.suppress(ResourceMissing):
                self.aws.call(call.service, call.operation, dict(call.params))

    def _finish(self, compiled: CompiledDeployment, smoke: SmokeRequest | None) -> None:
        apply_scaling(self.aws, compiled)
        if smoke is not None:
            self._try(compiled.endpoint, smoke)
        elif compiled.creates:
            self.say("no smoke request was given, and SageMaker guards updates only: try the endpoint yourself")
        for line in retire.collect(self.aws, compiled.endpoint, self.options.keep_versions):
            self.say(line)

    def _try(self, endpoint: str, smoke: SmokeRequest) -> None:
        params: dict[str, Any] = {"EndpointName": endpoint, "Body": smoke.body, "ContentType": smoke.content_type}
        try:
            self.aws.call("sagemaker-runtime", "InvokeEndpoint", params)
        except AwsRefused as error:
            raise TargetRefused(
                f"{endpoint} is in service, and its smoke request failed: {error.message}"
            ) from None


def _goes_to(there: Params | None, config: str) -> bool:
    """Whether the endpoint runs this config, or is on its way to it."""
    if there is None:
        return False
    pending = there.get("PendingDeploymentSummary")
    if pending is not None:
        return bool(pending["EndpointConfigName"] == config)
    return bool(there["EndpointConfigName"] == config) and there["EndpointStatus"] in ("Creating", "InService")


def _with_wanted(compiled: CompiledDeployment) -> SagemakerCall:
    call = compiled.change
    if not compiled.creates:
        return call
    return replace(call, params={**call.params, "Tags": tag_list(_endpoint_tags(compiled))})


def _endpoint_tags(compiled: CompiledDeployment) -> dict[str, str]:
    """Return the tags of the endpoint, with what was asked for last."""
    return {**compiled.tags, WANTED: compiled.config_name, **evidence_tags(evidence_of(compiled))}
