"""The manifest of the feature planner."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Menu, NativeRoute, PageLink

CHAPTERS = (
    (10, "/console/targets", "Targets", "Where does it run, and what does that cost?"),
    (
        *(40, "/console/rolling", "Rolling", "Why does rolling turn back slowly, and which strategy fits?"),
        "Two fleets turn back at once, rolling when old instances have started again",
    ),
    (
        *(50, "/console/flowchart", "Inference mode", "Real-time, serverless, asynchronous or batch?"),
        "Four questions, then a plan",
    ),
    (60, "/console/architectures", "Many models", "One endpoint for each client, or one for all?"),
    (90, "/console/planner", "Planner", "Everything at once: a plan that can be deployed"),
)
FEATURE = Feature(
    name="planner",
    summary="A deployment planned from questions.",
    page="planner.md",
    needs=("cost", "evidence", "rehearse"),
    routes=(
        NativeRoute("GET", "/plan", ".api:describe_questions", Access.READ),
        NativeRoute("POST", "/plan", ".api:make", Access.READ),
        NativeRoute("GET", "/endpoints/{name}/measured", ".measurement_reader:show_measured", Access.READ),
    ),
    commands=(
        CommandEntry("plan", ".command:plan", "Plan a deployment, each choice with its reason.", "Plan and price"),
    ),
    pages={
        "/console/overview": ("GET",),
        "/console/flowchart": ("GET",),
        "/console/planner": ("GET",),
        "/console/planner/spec": ("GET",),
        "/console/architectures": ("GET",),
        "/console/rolling": ("GET",),
        "/console/targets": ("GET",),
    },
    links=(
        PageLink(Menu.TOP, 30, "/console/overview", "Learn"),
        PageLink(Menu.TOP, 40, "/console/planner", "Planner"),
        *(PageLink(Menu.LEARN, *chapter) for chapter in CHAPTERS),
    ),
    page_routes=".page_routes:page_routes",
    hooks={"page_work": ".page_routes:list_page_work"},
)
