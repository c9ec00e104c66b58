"""Structure of a spec's ``autoscaling`` section."""

from typing import Annotated

from msgspec import Meta, Struct

from tidegate.schedules.cron import REGION_PATTERN
from tidegate.spec.value_types import RULES, SCALING_METRICS, Duration, NameText, about


class PeakSpec(Struct, forbid_unknown_fields=True):
    """A recurring peak load; its count is ready when it starts."""

    name: NameText
    starts: Annotated[
        str,
        about(
            "When: cron(...), days(...), at(...) or rate(...).",
            "cron(0 8 L * ? *)",
            "days(0 8 15,L * working+1)",
        ),
    ]
    lasts: Annotated[Duration, about("How long it lasts.", "3h")]
    count: Annotated[
        int,
        Meta(description="Instances (or provisioned concurrency).", extra_json_schema={"minimum": 0}),
    ]
    timezone: Annotated[str, about("Name of a time zone.", "Europe/Vienna")] = "UTC"
    holidays: Annotated[
        str | None,
        about(
            "Country or region whose public holidays move LW and 15W.",
            "CH",
            "CH-ZH",
            pattern=REGION_PATTERN,
        ),
    ] = None


class ForecastSpec(Struct, forbid_unknown_fields=True):
    """Predicts the load from earlier seasons and has the count ready that it will need."""

    per_instance: Annotated[
        float,
        Meta(
            description="Target of requests per second and instance.",
            extra_json_schema={"exclusiveMinimum": 0},
        ),
    ]
    season: Annotated[Duration, about("Time after which the load repeats.", "7d")] = "7d"


class AutoscalingSpec(Struct, forbid_unknown_fields=True):
    """Scale the instances (of a serverless endpoint: its provisioned concurrency) by load."""

    min: Annotated[
        int, Meta(description="Minimum; 0 only for async and serverless.", extra_json_schema={"minimum": 0})
    ]
    max: Annotated[int, Meta(description="Maximum.", extra_json_schema={"minimum": 1})]
    target: (
        Annotated[
            float,
            Meta(
                description="Target value of the metric per instance.",
                extra_json_schema={"exclusiveMinimum": 0},
            ),
        ]
        | None
    ) = None
    metric: Annotated[str, about("Metric to scale by.", enum=(*SCALING_METRICS, "tokens"))] | None = None
    rule: Annotated[
        str,
        about("fast: within seconds, by concurrent requests; aws: target tracking with alarms.", enum=RULES),
    ] = "fast"
    queue_time: Annotated[Duration, about("rule fast: longest wait of a request.", "50ms")] | None = None
    scale_in_after: (
        Annotated[Duration, about("Scale in after lower load for this long. Default: 60s (fast), 5m (aws).")]
        | None
    ) = None
    calendar: Annotated[list[PeakSpec], Meta(description="Known recurring peaks.")] = []
    forecast: ForecastSpec | None = None
    variant: Annotated[str, about("Required if the endpoint has several variants.")] | None = None
