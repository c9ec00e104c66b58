"""The manifest of the feature cost."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, NativeRoute

FEATURE = Feature(
    name="cost",
    summary="Prices, and the cost of a deployment.",
    page="cost.md",
    routes=(NativeRoute("GET", "/endpoints/{name}/cost", ".reader:show_cost", Access.READ),),
    commands=(
        CommandEntry("cost", ".command:cost", "Price a deployment over a year of traffic.", "Plan and price"),
        CommandEntry(
            "prices", ".price_list_command:app", "List the catalogue of prices, or update it.", "Plan and price"
        ),
    ),
)
