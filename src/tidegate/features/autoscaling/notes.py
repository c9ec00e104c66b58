"""How members of these operations are treated that are not served."""

from tidegate.wire.member_notes import OperationNotes, note

NOTES: OperationNotes = {
    ("application-autoscaling", "RegisterScalableTarget"): note(ignored=("RoleARN",)),
    ("application-autoscaling", "PutScalingPolicy"): note(
        ignored=("TargetTrackingScalingPolicyConfiguration.PredefinedMetricSpecification.ResourceLabel",),
        refused=("PredictiveScalingPolicyConfiguration",),
    ),
}
