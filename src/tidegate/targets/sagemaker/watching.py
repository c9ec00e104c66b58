"""Follows an update to its end, guards what SageMaker does not, and aborts.

SageMaker has no equivalent of ``require_evidence``, so the follower looks at the guards before a bake ends and trips
the abort alarm where one has no data. If it ends itself, nobody does: that is said in the notes of the deployment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.domain.errors import TargetRefused, Transient
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.sagemaker.alarm_calls import (
    ABORT_METRIC,
    ABORT_NAMESPACE,
    abort_alarm_name,
    abort_dimensions,
)
from tidegate.targets.sagemaker.calls import CompiledDeployment, Params
from tidegate.targets.sagemaker.observe import describe_endpoint
from tidegate.targets.sagemaker.outcome import UpdateOutcome, UpdateStatus, judge, stage

# --- ``require_evidence`` of the update in progress as tags of its endpoint, for whoever follows it ---


EVIDENCE, GUARD = "tidegate:evidence", "tidegate:guard-"
_NONE = "none"


@dataclass(frozen=True)
class RequiredEvidence:
    """``guards``: names of the alarms that must have data before a bake ends; ``bake``: seconds of the shortest."""

    guards: tuple[str, ...]
    bake: int


def evidence_of(compiled: CompiledDeployment) -> RequiredEvidence | None:
    """Return the evidence that a compiled deployment requires; None where the spec requires none."""
    if not compiled.require_evidence:
        return None
    guards = tuple(name for name in compiled.guards if name != compiled.abort_alarm)
    return RequiredEvidence(guards, min((step.wait for step in compiled.steps if step.wait), default=0))


def evidence_tags(required: RequiredEvidence | None) -> dict[str, str]:
    """Return the tags of an endpoint that hold its required evidence. Names of alarms are as long as the value of a
    tag may be, so each has its own tag. Tags of an earlier update may remain beside them."""
    if required is None:
        return {EVIDENCE: _NONE}
    named = {f"{GUARD}{number}": name for number, name in enumerate(required.guards)}
    return {EVIDENCE: f"{required.bake} {len(required.guards)}", **named}


def read_evidence(tags: Mapping[str, str]) -> RequiredEvidence | None:
    """Read the tags that ``evidence_tags`` wrote; None where no evidence is required. An alarm whose tag is gone has
    no data."""
    bake, _, count = tags.get(EVIDENCE, _NONE).partition(" ")
    if not (bake.isdecimal() and count.isdecimal()):
        return None
    return RequiredEvidence(tuple(tags.get(f"{GUARD}{number}", "") for number in range(int(count))), int(bake))


POLL = 30.0
"""Seconds between looks, with jitter: more often is throttled."""
BEGIN = timedelta(minutes=3)
"""By then a change that was accepted must be seen."""
STUCK = timedelta(hours=26)
"""A creation can hang for a day, and cannot be deleted meanwhile."""
MARGIN = timedelta(seconds=75)
"""Before the end of a bake, for a verdict on its evidence: CloudWatch is a minute late."""


class UpdateWatcher:
    def __init__(
        self,
        aws: AwsClient,
        say: Callable[[str], None],
        endpoint: str,
        wanted: str,
        evidence: RequiredEvidence | None = None,
    ) -> None:
        self.aws, self.say, self.evidence = aws, say, evidence
        self.endpoint, self.wanted = endpoint, wanted
        self._said = ""
        self._aborting = False

    def follow(self) -> UpdateStatus:
        start, began = self.aws.clock.now(), False
        while True:
            there = describe_endpoint(self.aws, self.endpoint)
            now = self.aws.clock.now()
            late = now - start > BEGIN
            began = began or late or (there is not None and _moves(there))
            if there is None and not late:
                self.aws.pause(POLL)  # a new endpoint is not visible at once
                continue
            verdict = judge(there, self.wanted, began)
            self._tell(verdict)
            if verdict.outcome is not UpdateOutcome.IN_PROGRESS:
                return verdict
            if now - start > STUCK:
                return verdict
            if there is not None:
                self._guard(there, now)
            self.aws.pause(POLL)

    def abort(self) -> UpdateStatus:
        """Trip the alarm until SageMaker rolls back."""
        name = abort_alarm_name(self.wanted)
        found = self.aws.call("cloudwatch", "DescribeAlarms", {"AlarmNames": [name]})["MetricAlarms"]
        if not found:
            raise TargetRefused(
                f"the update of {self.endpoint} to {self.wanted} has no abort alarm ({name}): it was not made by"
                " tidegate, or is all at once; it cannot be aborted"
            )
        self._aborting = True
        return self.follow()

    def _guard(self, there: Params, now: datetime) -> None:
        if not self._aborting and self._lacks_evidence(there, now):
            self._aborting = True
            self.say("aborting: a guard has no data, and require_evidence is set")
        pending = there.get("PendingDeploymentSummary")
        if self._aborting and pending is not None and pending["EndpointConfigName"] == self.wanted:
            self._trip()

    def _trip(self) -> None:
        dimensions = [
            {"Name": name, "Value": value} for name, value in abort_dimensions(self.endpoint, self.wanted).items()
        ]
        datum = {"MetricName": ABORT_METRIC, "Dimensions": dimensions, "Value": 1.0, "StorageResolution": 1}
        self.aws.call("cloudwatch", "PutMetricData", {"Namespace": ABORT_NAMESPACE, "MetricData": [datum]})

    def _lacks_evidence(self, there: Params, now: datetime) -> bool:
        required = self.evidence
        if required is None:
            return False
        phase, since = stage(there)
        if phase != "Baking" or since is None:
            return False
        # SageMaker does not say which bake this is, so the shortest decides: too early only asks for data sooner.
        if now < since + timedelta(seconds=required.bake) - MARGIN:
            return False
        named = [name for name in required.guards if name]
        try:
            found = self.aws.call("cloudwatch", "DescribeAlarms", {"AlarmNames": named})["MetricAlarms"]
        except Transient:
            return True  # what cannot be seen is not good news
        states = {one["AlarmName"]: one["StateValue"] for one in found}
        return any(states.get(name) != "OK" for name in required.guards)

    def _tell(self, verdict: UpdateStatus) -> None:
        if verdict.message != self._said:
            self._said = verdict.message
            self.say(verdict.message)


def _moves(there: Params) -> bool:
    return there["EndpointStatus"] != "InService" or "PendingDeploymentSummary" in there
