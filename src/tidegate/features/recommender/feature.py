"""The manifest of the feature recommender."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Loop, Menu, NativeRoute, PageLink

FEATURE = Feature(
    name="recommender",
    summary="The cheapest configuration, found by load tests.",
    page="recommender.md",
    notes=".operations:NOTES",
    operations={"sagemaker": (".operations:OPERATIONS",)},
    kinds=".service:KINDS",
    routes=(
        NativeRoute("GET", "/recommendations", ".native:list_jobs", Access.READ),
        NativeRoute("POST", "/recommendations", ".native:create", Access.CHANGE),
        NativeRoute("GET", "/recommendations/{name}", ".native:describe", Access.READ),
        NativeRoute("POST", "/recommendations/{name}/stop", ".native:stop", Access.CHANGE),
    ),
    commands=(
        CommandEntry(
            "recommend", ".command:recommend", "Find the cheapest configuration, by load tests.", "Plan and price"
        ),
    ),
    pages={
        "/console/recommender": ("GET",),
        "/console/recommender/{name}": ("GET",),
        "/console/recommender/{name}/live": ("GET",),
    },
    links=(
        PageLink(
            *(Menu.LEARN, 80, "/console/recommender", "Recommender"),
            "What does a model of yours need, measured under load?",
            remark="Real loads on this machine, for a model of yours",
        ),
    ),
    page_routes=".page:page_routes",
    hooks={"taggable": ".service:TAGGABLE"},
    loops=(Loop(".loop:make_jobs", 0, kind=".service:RECOMMENDATION", prefix="recommend."),),
)
