"""The manifest of the feature lessons."""

from tidegate.domain.feature import CommandEntry, Feature

FEATURE = Feature(
    name="lessons",
    summary="The lab and the challenges of the console.",
    page="lab.md",
    needs=("access", "autoscaling", "cost", "drift", "evidence", "planner", "rehearse"),
    kinds=".kinds:KINDS",
    commands=(
        CommandEntry("challenge", ".command:app", "Run the console's live challenges on the server.", "Server"),
    ),
    pages={
        "/console/overview": ("GET",),
        "/console/flowchart": ("GET",),
        "/console/planner": ("GET",),
        "/console/planner/spec": ("GET",),
        "/console/traffic": ("GET",),
        "/console/architectures": ("GET",),
        "/console/compute": ("GET",),
        "/console/rolling": ("GET",),
        "/console/targets": ("GET",),
        "/console/challenges": ("GET",),
        "/console/challenges/{name}/live": ("GET",),
        "/console/lab": ("GET",),
        "/console/lab/live": ("GET",),
        "/tidegate/v1/challenges": ("GET",),
        "/tidegate/v1/challenges/{name}": (
            "GET",
            "POST",
        ),
        "/tidegate/v1/challenges/{name}/stop": ("POST",),
        "/tidegate/v1/lab": ("GET",),
        "/tidegate/v1/lab/{step}": ("POST",),
    },
    hooks={
        "demonstrations": ".demonstrations:DEMONSTRATIONS",
        "native_operations": ".page_routes:OPERATIONS",
        "resume": ".run_service:has_open",
    },
    page_routes=".page_routes:page_routes",
)
