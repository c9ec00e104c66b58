"""The manifest of the feature multi_model."""

from tidegate.domain.feature import Feature, Section

FEATURE = Feature(
    name="multi_model",
    summary="Many models behind one endpoint.",
    page="endpoints.md",
    sections=(Section("model.multi_model"),),
    hooks={
        "check_many_models": ".worker.config:check_container",
        "worker_many_models": ".worker.engine:open_models",
    },
    pages={
        "/console/endpoints/{name}/models": ("GET",),
    },
    page_routes=".page:page_routes",
)
