"""Computes what a rollout can detect and promise from its plan, its alarms and its traffic. Pure.

``promise`` covers a whole rollout. The layers below it: ``distributions`` (probabilities of counts), ``alarm_model``
(one period of one alarm), ``alarm_markov`` (M out of N periods), ``schedule`` (the periods of a rollout),
``detection`` (one alarm over one rollout), ``proposals`` (what to change), ``evidence_power`` (the comparison of the
two versions).
"""

from tidegate.features.rehearse.promise.baseline import (
    HEALTHY,
    Baseline,
    LabelFlow,
    LatencyDistribution,
    Predictions,
    Quantity,
    VersionFault,
)
from tidegate.features.rehearse.promise.detection import PromiseTerms, RolloutSetting
from tidegate.features.rehearse.promise.evidence_kinds import EvidenceKind
from tidegate.features.rehearse.promise.harm_power import HarmPromise
from tidegate.features.rehearse.promise.promise import (
    AlarmPromise,
    EvidencePromise,
    FaultPromise,
    Promise,
    StagePromise,
    promise,
    promise_assurance,
)
from tidegate.features.rehearse.promise.proposals import Proposal

__all__ = [
    "HEALTHY",
    "AlarmPromise",
    "Baseline",
    "EvidenceKind",
    "EvidencePromise",
    "FaultPromise",
    "HarmPromise",
    "LabelFlow",
    "LatencyDistribution",
    "Predictions",
    "Promise",
    "PromiseTerms",
    "Proposal",
    "Quantity",
    "RolloutSetting",
    "StagePromise",
    "VersionFault",
    "promise",
    "promise_assurance",
]
