"""Whether a rehearsal could show a fault at all: one that nothing watches would look as if it were let through."""

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import Comparison
from tidegate.features.rehearse.promise import Baseline, VersionFault


def check_faults(fault: VersionFault, baseline: Baseline, wish: DesiredDeployment) -> None:
    """Raises Invalid for a fault that needs more to be known, or that this rollout has nothing to see it with."""
    config = wish.deployment.evidence
    compared = frozenset[Comparison]() if config is None else frozenset(config.compare)
    of_predictions = compared & {Comparison.PREDICTIONS, Comparison.PAIRED}
    if fault.prediction_shift and baseline.predictions is None and not of_predictions:
        raise Invalid(
            "--fault prediction-shift needs to know how a good version answers: --usual mean=A --usual deviation=B"
        )
    if fault.wrong_predictions and Comparison.PAIRED not in compared:
        raise Invalid(
            "--fault wrong-predictions: only both versions on the same requests show it, and the spec has no"
            " evidence: {compare: [paired]}"
        )
    if fault.changed_columns and Comparison.FEATURES not in compared:
        raise Invalid(
            "--fault changed-columns: only outputs of stages show it, and the spec has no evidence: {compare:"
            " [features]}"
        )
    if fault.auc_loss and (config is None or config.replay is None):
        raise Invalid("--fault auc-loss: only labelled rows show it, and the spec has no evidence: {replay: ...}")
