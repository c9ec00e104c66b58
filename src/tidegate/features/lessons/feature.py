"""The manifest of the feature lessons."""

from tidegate.domain.feature import CommandEntry, Feature, Menu, PageLink

FEATURE = Feature(
    name="lessons",
    summary="Lessons on this server and in simulation: the lab and the challenges.",
    page="lab.md",
    needs=("access", "asynchronous", "autoscaling", "capture", "cost", "drift", "evidence", "rehearse"),
    kinds=".run_records:KINDS",
    commands=(
        CommandEntry("learn", ".command:app", "Run the console's live challenges on the server.", "Server"),
    ),
    pages={
        "/console/lessons": ("GET",),
        "/console/lessons/{name}": ("GET",),
        "/console/lessons/{name}/live": ("GET",),
        "/console/challenges": ("GET",),
        "/console/lab": ("GET",),
        "/tidegate/v1/lessons": ("GET",),
        "/tidegate/v1/lessons/{name}": ("GET",),
        "/tidegate/v1/lessons/{name}/{step}": ("POST",),
        "/tidegate/v1/challenges": ("GET",),
        "/tidegate/v1/challenges/{name}": ("GET", "POST"),
        "/tidegate/v1/challenges/{name}/{step}": ("POST",),
        "/tidegate/v1/lab": ("GET",),
        "/tidegate/v1/lab/{step}": ("POST",),
    },
    hooks={
        "native_operations": ".lesson_pages:OPERATIONS",
        "page_work": ".catalogue:list_page_work",
        "resume": ".run_service:has_open",
    },
    links=(
        PageLink(
            *(Menu.LEARN, 20, "/console/lessons", "Lessons", "What goes wrong in production, and who notices?"),
            remark="Drift, a peak, an update, an incident; cold starts, pipelines, Spot, alarms and roles",
        ),
        PageLink(
            *(Menu.LEARN, 100, "/console/lessons/lab", "Lab"),
            "All of it on this server: a good version, a bad one, and why it goes",
            remark="Half an hour on a throw-away endpoint of this server",
        ),
    ),
    page_routes=".lesson_pages:page_routes",
)
