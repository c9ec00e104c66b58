"""How members of these operations are treated that are not served."""

from tidegate.wire.member_notes import OperationNotes, note

NOTES: OperationNotes = {
    ("sagemaker", "CreateInferenceExperiment"): note(ignored=("RoleArn", "KmsKey")),
}
