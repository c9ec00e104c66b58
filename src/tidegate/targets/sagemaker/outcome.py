"""What a description of an endpoint says about an update that was asked for. Pure.

InService is not success: after a rollback AWS says InService too, often without a FailureReason, and its waiter
reports success. An update has succeeded where the config that serves is the one that was asked for."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tidegate.targets.sagemaker.calls import Params


class Outcome(StrEnum):
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
    Outcome.SUCCEEDED: 0,
    Outcome.FAILED: 1,
    Outcome.ROLLED_BACK: 3,
    Outcome.ROLLBACK_FAILED: 4,
    Outcome.IN_PROGRESS: 5,
    Outcome.GONE: 6,
}
"""2 is taken: wrong usage."""


@dataclass(frozen=True)
class Verdict:
    """``phase`` is SageMaker's word for what happens now. ``serving`` and ``pending`` are names of configs."""

    outcome: Outcome
    phase: str
    serving: str
    pending: str = ""
    reason: str = ""

    @property
    def message(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        match self.outcome:
            case Outcome.SUCCEEDED:
                return f"{self.serving} serves"
            case Outcome.ROLLED_BACK:
                return f"rolled back: {self.serving} serves{why or '; SageMaker gives no reason'}"
            case Outcome.FAILED:
                return f"failed{why}"
            case Outcome.ROLLBACK_FAILED:
                return f"the rollback failed, and instances of two versions may serve{why}"
            case Outcome.GONE:
                return "the endpoint does not exist"
        return f"{self.phase}, {self.pending or self.serving}"


def judge(description: Params | None, wanted: str, began: bool = True) -> Verdict:
    """``began``: the change to ``wanted`` was seen to begin, or has had the time to. Before that, an endpoint that is
    in service with another config says nothing."""
    if description is None:
        return Verdict(Outcome.GONE, "Gone", "")
    status, serving = description["EndpointStatus"], description["EndpointConfigName"]
    pending = description.get("PendingDeploymentSummary")
    reason = str(description.get("FailureReason", ""))
    named = pending["EndpointConfigName"] if pending else ""
    if status in ("Failed", "OutOfService"):
        return Verdict(Outcome.FAILED, status, serving, named, reason)
    if status == "UpdateRollbackFailed":
        return Verdict(Outcome.ROLLBACK_FAILED, status, serving, named, reason)
    if status != "InService" or pending is not None:
        return Verdict(Outcome.IN_PROGRESS, _phase(status, pending), serving, named, reason)
    if serving == wanted:
        return Verdict(Outcome.SUCCEEDED, status, serving)
    if not began:
        return Verdict(Outcome.IN_PROGRESS, status, serving)
    return Verdict(Outcome.ROLLED_BACK, status, serving, reason=reason)


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
