"""The manifest of the feature evidence."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Loop, NativeRoute, Section

FEATURE = Feature(
    name="evidence",
    summary="Comparison of two versions during a rollout.",
    page="evidence.md",
    sections=(
        Section(
            "evidence",
            ".spec:EvidenceSpec",
            ".spec:build_evidence",
            ".spec:render_evidence",
            value="deployment.evidence",
        ),
    ),
    kinds=".kinds:KINDS",
    endpoint_kinds=".kinds:KINDS",
    loops=(Loop(".start:make_loop", 0.5), Loop(".start:make_pair_cleaner", 600.0)),
    hooks={
        "endpoint_cards": ".card:make_cards",
        "rollout_observer": ".start:make_observer",
        "spec_questions": ".harm_words:ask_harm",
    },
    routes=(
        NativeRoute("GET", "/endpoints/{name}/evidence", ".native:describe_evidence", Access.READ),
        NativeRoute("GET", "/endpoints/{name}/evidence/timeline", ".native:describe_timeline", Access.READ),
        NativeRoute("GET", "/endpoints/{name}/evidence/pair", ".native:show_pair", Access.SEE),
        NativeRoute("POST", "/endpoints/{name}/evidence/pair", ".native:label_pair", Access.CHANGE),
    ),
    commands=(
        CommandEntry(
            "rollout evidence", ".command:app", "Show what a rollout's comparison of versions found.", "Rollouts"
        ),
    ),
    pages={
        "/console/endpoints/{name}/evidence": ("GET",),
        "/console/live/{name}/evidence": ("GET",),
    },
    tabs=((10, "/evidence", "Evidence"),),
    page_routes=".page_routes:page_routes",
)
