"""The manifest of the feature signals."""

from tidegate.domain.feature import Feature, Loop, Section

FEATURE = Feature(
    name="signals",
    summary="Alarms on what Prometheus and other servers measure.",
    page="alarms.md",
    sections=(Section("alarms.prometheus"), Section("alarms.http")),
    kinds=".kinds:KINDS",
    endpoint_kinds=".kinds:KINDS",
    hooks={
        "check_signal": ".check:check_signal",
        "endpoint": ".check:EXTENSION",
        "endpoint_cards": ".card:make_cards",
    },
    loops=(Loop(".loop:make_loop"),),
)
