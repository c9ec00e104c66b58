"""The manifest of the feature model_registry."""

from tidegate.domain.access import Access
from tidegate.domain.feature import Feature, Loop, NativeRoute, Section

FEATURE = Feature(
    name="model_registry",
    summary="Models from a registry, whose versions are rolled out by themselves.",
    page="how-to/follow-a-registry.md",
    needs=("packages",),
    sections=(Section("model.follow"),),
    kinds=".kinds:KINDS",
    endpoint_kinds=".kinds:ENDPOINT_KINDS",
    hooks={
        "resolve_model": ".registries:resolve_model",
        "endpoint": ".endpoint:EXTENSION",
        "endpoint_cards": ".card:make_cards",
    },
    routes=(NativeRoute("POST", "/registry/webhook", ".loop:receive_webhook", Access.OPEN),),
    loops=(Loop(".loop:make_loop", kind=".kinds:FOLLOWED", prefix="registry."),),
)
