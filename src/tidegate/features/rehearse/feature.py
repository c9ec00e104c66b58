"""The manifest of the feature rehearse."""

from tidegate.domain.feature import CommandEntry, Feature, Menu, PageLink

FEATURE = Feature(
    name="rehearse",
    summary="Rollouts rehearsed: their timeline, what guards can detect, and the outcome.",
    page="rehearse.md",
    needs=("evidence",),
    commands=(
        CommandEntry(
            "rehearse",
            ".command:rehearse_spec",
            "Rehearse a rollout: timeline, what guards detect, outcome.",
            "Rollouts",
        ),
    ),
    pages={
        "/console/rehearse": ("GET",),
        "/console/traffic": ("GET",),
        "/tidegate/v1/promise": ("POST",),
        "/tidegate/v1/rehearse": ("POST",),
        "/tidegate/v1/simulate": ("POST",),
    },
    links=(
        PageLink(
            *(Menu.LEARN, 30, "/console/rehearse", "Rehearse"),
            question="How many requests does a bad version get?",
            remark="Two strategies with the same fault, side by side",
        ),
    ),
    hooks={
        "native_operations": ".page_routes:OPERATIONS",
        "page_work": ".page_routes:list_page_work",
        "check_assurance": ".rehearsal.spec_scenario:check_assurance",
    },
    page_routes=".page_routes:page_routes",
)
