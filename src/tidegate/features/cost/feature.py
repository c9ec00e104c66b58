"""The manifest of the feature cost."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Menu, NativeRoute, PageLink, Section

FEATURE = Feature(
    name="cost",
    summary="Prices, and the cost of a deployment.",
    page="cost.md",
    routes=(NativeRoute("GET", "/endpoints/{name}/cost", ".reader:show_cost", Access.READ),),
    pages={"/console/compute": ("GET",)},
    links=(
        PageLink(
            *(Menu.LEARN, 70, "/console/compute", "Compute"),
            question="Which machine, how many, and what to commit to?",
        ),
    ),
    page_routes=".pages:page_routes",
    sections=(
        Section("workload", ".workload:WorkloadSpec", ".workload:build_workload", ".workload:render_workload"),
    ),
    kinds=".kinds:KINDS",
    endpoint_kinds=".kinds:KINDS",
    hooks={
        "endpoint": ".endpoint:EXTENSION",
        "endpoint_cards": ".pages:make_cards",
        "endpoint_columns": ".pages:make_columns",
        "page_work": ".pages:list_page_work",
    },
    commands=(
        CommandEntry("cost", "", "Price deployments; keep the catalogue of prices.", "Plan and price"),
        CommandEntry(
            "cost estimate", ".command:cost", "Price a deployment over a year of traffic.", "Plan and price"
        ),
        CommandEntry(
            "cost prices",
            ".price_list_command:app",
            "List the catalogue of prices, or update it.",
            "Plan and price",
        ),
    ),
)
