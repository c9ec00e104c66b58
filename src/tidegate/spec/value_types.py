"""Kinds of values in a spec file: text with its pattern, its description and what it may be."""

from typing import Annotated, Any

from msgspec import Meta

AUTO = "tidegate/auto"
"""The image that detects the runtime from the model data."""
DURATION = r"^0$|^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
NAME = r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$"
ROUTINGS = ("random", "least_outstanding_requests")
STRATEGIES = ("all_at_once", "canary", "linear", "rolling")
SCOPES = ("new_version", "endpoint")
RULES = ("fast", "aws")
SCALING_METRICS = ("concurrency", "invocations", "utilization", "backlog", "cpu")
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform")
MISSING = ("missing", "ignore", "breaching", "notBreaching")


def about(description: str, *examples: str, **more: object) -> Meta:
    """Description and examples of a value, for the JSON Schema."""
    extra: dict[str, object] = dict(more)
    if examples:
        extra["examples"] = list(examples)
    return Meta(description=description, extra_json_schema=extra)


Duration = Annotated[
    str | int, about("Time with its unit: ms, s, m, h or d; or 0.", "90s", "10m", "1h30m", pattern=DURATION)
]
Devices = Annotated[
    int,
    Meta(
        description="Accelerators of each instance, which no other instance has. Default: none.",
        extra_json_schema={"minimum": 0, "maximum": 16},
    ),
]
MemoryText = Annotated[
    str | int,
    about(
        "Memory above which an instance is replaced; 0: no limit.",
        "512MiB",
        "2GiB",
        pattern=r"^[0-9]+(\.[0-9]+)? ?([KMGT]i?B|B)?$",
    ),
]
Size = Annotated[
    str | int,
    about("A share of the instances such as 10%, or a number of instances.", "25%", pattern=r"^[0-9]+%$"),
]
Threshold = Annotated[float | str, about("A number; 2% for a rate; 100ms for a latency.", "2%", "100ms")]
QueueTime = Annotated[
    Duration,
    about("Longest wait of requests beyond max_in_flight; refused after it. Default: 1s.", "50ms"),
]
NameText = Annotated[str, about("1 to 63 letters, digits and hyphens.", pattern=NAME)]
RoutingText = Annotated[str, about("How an instance is chosen for a request.", enum=ROUTINGS)]
InstanceTypeText = Annotated[
    str,
    about("Type of its instances. It is kept and shown; on this machine it sets no limits.", "ml.c5.xlarge"),
]

SpecData = Annotated[dict[str, Any], Meta(extra_json_schema={"$ref": "#/components/schemas/Spec"})]
"""Plain data of a spec file, as a member of a request of the native API."""
