"""The manifest of the feature labels."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Loop, NativeRoute

FEATURE = Feature(
    name="labels",
    summary="Quality measured by labels and feedback that come later.",
    page="labels.md",
    needs=("capture",),
    routes=(
        NativeRoute("GET", "/endpoints/{name}/labels", ".api:show_labels", Access.READ),
        NativeRoute("POST", "/endpoints/{name}/labels", ".api:post_labels", Access.USE),
        NativeRoute("PUT", "/endpoints/{name}/labels/terms", ".api:change_terms", Access.CHANGE),
    ),
    commands=(
        CommandEntry("labels", "", "Measure predictions by labels and by feedback.", "Look"),
        CommandEntry(
            "labels measure", ".command:labels", "Measure predictions by labels that came later.", "Look"
        ),
        CommandEntry("labels terms", ".command:label_terms", "Change how labels and answers are read.", "Look"),
        CommandEntry(
            "labels feedback",
            ".command:feedback",
            "Post what people think of answers, and show it.",
            "Look",
        ),
    ),
    pages={
        "/console/endpoints/{name}/labels": ("GET",),
        "/console/live/{name}/labels": ("GET",),
    },
    tabs=((30, "/labels", "Labels"),),
    page_routes=".page:page_routes",
    hooks={"label_archive": ".label_archive:ARCHIVE"},
    loops=(Loop(".loop:make_loop", 2.0),),
)
