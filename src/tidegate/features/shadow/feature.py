"""The manifest of the feature shadow."""

from tidegate.domain.access import Access
from tidegate.domain.feature import Feature, Loop, NativeRoute, Section

FEATURE = Feature(
    name="shadow",
    summary="Shadow variants and shadow tests.",
    page="shadow-tests.md",
    needs=("autoscaling",),
    sections=(Section("shadow"),),
    members={"sagemaker:CreateEndpointConfig": ("ShadowProductionVariants",)},
    notes=".operations:NOTES",
    operations={"sagemaker": (".operations:OPERATIONS",)},
    kinds=".records:KINDS",
    routes=(NativeRoute("GET", "/endpoints/{name}/shadow", ".native:describe_shadows", Access.READ),),
    pages={
        "/console/endpoints/{name}/shadow": ("GET",),
        "/console/live/{name}/shadow": ("GET",),
    },
    tabs=((50, "/shadow", "Shadow"),),
    page_routes=".page_routes:page_routes",
    hooks={"taggable": ".records:TAGGABLE", "compare_shadow": ".command:compare_shadow"},
    loops=(Loop(".loop:make_loop", kind=".records:EXPERIMENT"),),
)
