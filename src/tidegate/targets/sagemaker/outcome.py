"""Judge from an endpoint's description how the requested update ended. Pure.

InService is not success: after a rollback AWS says InService too, often without a FailureReason, and its waiter
reports success. An update has succeeded where the config that serves is the one that was asked for."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tidegate.targets.sagemaker.calls import Params


class UpdateOutcome(StrEnum):
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    ROLLED_BACK = "RolledBack"
    FAILED = "Failed"
    ROLLBACK_FAILED = "RollbackFailed"
    GONE = "Gone"
    """The endpoint does not exist."""

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES[self]


_EXIT_CODES = {
    UpdateOutcome.SUCCEEDED: 0,
    UpdateOutcome.FAILED: 1,
    UpdateOutcome.ROLLED_BACK: 3,
    UpdateOutcome.ROLLBACK_FAILED: 4,
    UpdateOutcome.IN_PROGRESS: 5,
    UpdateOutcome.GONE: 6,
}
"""2 is taken: wrong usage."""


@dataclass(frozen=True)
class UpdateStatus:
    """``phase`` is SageMaker's word for what happens now. ``serving`` and ``pending`` are names of configs."""

    outcome: UpdateOutcome
    phase: str
    serving: str
    pending: str = ""
    reason: str = ""

    @property
    def message(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        match self.outcome:
            case UpdateOutcome.SUCCEEDED:
                return f"{self.serving} serves"
            case UpdateOutcome.ROLLED_BACK:
                return f"rolled back: {self.serving} serves{why or '; SageMaker gives no reason'}"
            case UpdateOutcome.FAILED:
                return f"failed{why}"
            case UpdateOutcome.ROLLBACK_FAILED:
                return f"the rollback failed, and instances of two versions may serve{why}"
            case UpdateOutcome.GONE:
                return "the endpoint does not exist"
        return f"{self.phase}, {self.pending or self.serving}"


def judge(description: Params | None, wanted: str, began: bool = True) -> UpdateStatus:
    """``began``: the change to ``wanted`` was seen to begin, or has had the time to. Before that, an endpoint that is
    in service with another config says nothing."""
    if description is None:
        return UpdateStatus(UpdateOutcome.GONE, "Gone", "")
    status, serving = description["EndpointStatus"], description["EndpointConfigName"]
    pending = description.get("PendingDeploymentSummary")
    reason = str(description.get("FailureReason", ""))
    named = pending["EndpointConfigName"] if pending else ""
    if status in ("Failed", "OutOfService"):
        return UpdateStatus(UpdateOutcome.FAILED, status, serving, named, reason)
    if status == "UpdateRollbackFailed":
        return UpdateStatus(UpdateOutcome.ROLLBACK_FAILED, status, serving, named, reason)
    if status != "InService" or pending is not None:
        return UpdateStatus(UpdateOutcome.IN_PROGRESS, _phase(status, pending), serving, named, reason)
    if serving == wanted:
        return UpdateStatus(UpdateOutcome.SUCCEEDED, status, serving)
    if not began:
        return UpdateStatus(UpdateOutcome.IN_PROGRESS, status, serving)
    return UpdateStatus(UpdateOutcome.ROLLED_BACK, status, serving, reason=reason)


def stage(description: Params) -> tuple[str, Any]:
    """The phase of the pending version and since when; empty and None where SageMaker does not say."""
    pending = description.get("PendingDeploymentSummary") or {}
    for variant in pending.get("ProductionVariants", ()):
        for status in variant.get("VariantStatus", ()):
            return str(status["Status"]), status.get("StartTime")
    return "", None


def _phase(status: str, pending: Any) -> str:
    word, _ = stage({"PendingDeploymentSummary": pending}) if pending else ("", None)
    return f"{status} ({word})" if word else str(status)
