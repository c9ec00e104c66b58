"""The manifest of the feature release_record."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Loop, NativeRoute, Section

FEATURE = Feature(
    name="release_record",
    summary="Signed records of releases, and their approval by a second person.",
    page="release-records.md",
    needs=("evidence", "model_registry", "packages"),
    sections=(
        Section(
            "approval",
            ".spec:ApprovalSpec",
            ".spec:build_approval",
            ".spec:render_approval",
            value="deployment.approval",
        ),
    ),
    kinds=".kinds:KINDS",
    loops=(Loop(".loop:make_loop"),),
    routes=(
        NativeRoute("GET", "/endpoints/{name}/record", ".native:show_record", Access.READ),
        NativeRoute("GET", "/record-key", ".native:show_key", Access.READ),
    ),
    commands=(CommandEntry("rollout record", ".command:app", "Signed records of releases.", "Rollouts"),),
)
