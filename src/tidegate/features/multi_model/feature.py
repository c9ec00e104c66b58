"""The manifest of the feature multi_model."""

from tidegate.domain.feature import Feature

FEATURE = Feature(
    name="multi_model",
    summary="Many models behind one endpoint.",
    page="endpoints.md",
    pages={
        "/console/endpoints/{name}/models": ("GET",),
    },
    page_routes=".page_routes:page_routes",
)
