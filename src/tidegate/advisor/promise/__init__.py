"""What a rollout can see and promise, computed from its plan, its alarms and its traffic. Pure.

``promise`` answers for a whole rollout. The layers below it: ``counts`` (probabilities of counts), ``meaning`` (one
period of one alarm), ``memory`` (M out of N periods), ``schedule`` (the periods of a rollout), ``watching`` (one
alarm over one rollout), ``proposals`` (what to change).
"""

from tidegate.advisor.promise.baseline import (
    HEALTHY,
    Baseline,
    LatencyDistribution,
    Predictions,
    Quantity,
    VersionFault,
)
from tidegate.advisor.promise.promise import (
    AlarmPromise,
    FaultPromise,
    Promise,
    PromiseTerms,
    StagePromise,
    promise,
)
from tidegate.advisor.promise.proposals import Proposal

__all__ = [
    "HEALTHY",
    "AlarmPromise",
    "Baseline",
    "FaultPromise",
    "LatencyDistribution",
    "Predictions",
    "Promise",
    "PromiseTerms",
    "Proposal",
    "Quantity",
    "StagePromise",
    "VersionFault",
    "promise",
]
