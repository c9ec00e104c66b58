"""Structure of a spec file, and its JSON Schema. Values with units are still text here."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tidegate.scaling.working_days import REGION_PATTERN
from tidegate.spec.admission import MaxInFlight, QuotasSpec

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


def _text(description: str, *examples: str, **more: object) -> Meta:
    extra: dict[str, object] = dict(more)
    if examples:
        extra["examples"] = list(examples)
    return Meta(description=description, extra_json_schema=extra)


Duration = Annotated[
    str | int, _text("Time with its unit: ms, s, m, h or d; or 0.", "90s", "10m", "1h30m", pattern=DURATION)
]
MemoryText = Annotated[
    str | int,
    _text(
        "Memory above which an instance is replaced; 0: no limit.",
        "512MiB",
        "2GiB",
        pattern=r"^[0-9]+(\.[0-9]+)? ?([KMGT]i?B|B)?$",
    ),
]
Size = Annotated[
    str | int,
    _text("A share of the instances such as 10%, or a number of instances.", "25%", pattern=r"^[0-9]+%$"),
]
Threshold = Annotated[float | str, _text("A number; 2% for a rate; 100ms for a latency.", "2%", "100ms")]
QueueTime = Annotated[
    Duration,
    _text("Longest wait of requests beyond max_in_flight; refused after it. Default: 1s.", "50ms"),
]
NameText = Annotated[str, _text("1 to 63 letters, digits and hyphens.", pattern=NAME)]
RoutingText = Annotated[str, _text("How an instance is chosen for a request.", enum=ROUTINGS)]


class MultiModelSpec(Struct, forbid_unknown_fields=True):
    """Many models under one address, each loaded on its first request."""

    memory: (
        Annotated[
            str,
            _text("Memory for the models of an instance.", "4GiB", pattern=r"^[0-9.]+ ?([KMGT]i?)?B$"),
        ]
        | None
    ) = None
    pin: Annotated[list[str], Meta(description="Models that are loaded at the start and never unloaded.")] = []
    prefetch: Annotated[
        list[str], Meta(description="Models that are loaded at the start, as far as memory allows.")
    ] = []
    minimum_stay: Annotated[Duration, _text("Minimum time that a loaded model stays. Default: 10s.")] | None = None
    loading: (
        Annotated[
            int,
            Meta(
                description="Models that may load at the same time. Default: 2.", extra_json_schema={"minimum": 1}
            ),
        ]
        | None
    ) = None
    disk: (
        Annotated[
            str,
            _text(
                "Disk space for XGBoost models that are kept ready to load. Default: no limit.",
                "10GiB",
                pattern=r"^[0-9.]+ ?([KMGT]i?)?B$",
            ),
        ]
        | None
    ) = None
    cache: Annotated[bool, Meta(description="Whether models stay loaded after a request.")] = True


class ModelSpec(Struct, forbid_unknown_fields=True):
    """A model: the image that serves it and the data that it serves."""

    image: Annotated[
        str,
        _text("A name in the server's table of images. Default: detected from the data.", "tidegate/xgboost"),
    ] = AUTO
    data: (
        Annotated[
            str,
            _text(
                "Model data: a path (relative to the spec file), a file:// or an s3:// address; .tar.gz or plain.",
                "file://./model.tar.gz",
                "s3://models/fraud.tar.gz",
            ),
        ]
        | None
    ) = None
    environment: Annotated[
        dict[str, str | int | float], Meta(description="Environment variables of the serving program.")
    ] = {}
    method: (
        Annotated[
            str,
            _text("Method of a scikit-learn model that responds. Default: predict.", enum=METHODS),
        ]
        | None
    ) = None
    fingerprint: (
        Annotated[str, _text("Identifies the content at the address. The CLI sets it for files that it can read.")]
        | None
    ) = None
    multi_model: (
        Annotated[
            MultiModelSpec, Meta(description="data is a folder or prefix of many models; each request names one.")
        ]
        | None
    ) = None


class ContainerSection(ModelSpec, kw_only=True, forbid_unknown_fields=True):
    """One of several containers, with its name."""

    name: NameText


class ServerlessSpec(Struct, forbid_unknown_fields=True):
    """Runs only while it gets requests: instances are started for requests and stopped when idle."""

    memory: Annotated[
        str | int,
        _text("Memory limit of an instance.", "2GiB", pattern=r"^[0-9]+(\.[0-9]+)? ?([KMGT]i?B|B)?$"),
    ]
    max_concurrency: Annotated[
        int,
        Meta(
            description="Concurrent requests; more wait, then are throttled.",
            extra_json_schema={"minimum": 1},
        ),
    ]
    provisioned: Annotated[
        int,
        Meta(
            description="Concurrent requests for which instances are always running.",
            extra_json_schema={"minimum": 0},
        ),
    ] = 0
    idle_after: Annotated[Duration, _text("Time after which an unused instance is stopped.")] = "5m"
    per_instance: Annotated[
        int, Meta(description="Concurrent requests per instance.", extra_json_schema={"minimum": 1})
    ] = 10


PipelineContainers = Annotated[
    list[ContainerSection],
    Meta(
        description="2 to 15 containers instead of model: the response of each is the request of the next.",
        extra_json_schema={"minItems": 2, "maxItems": 15},
    ),
]
DirectContainers = Annotated[
    list[ContainerSection],
    Meta(
        description="2 to 15 containers instead of model: each request names its container.",
        extra_json_schema={"minItems": 2, "maxItems": 15},
    ),
]


class VariantSection(Struct, forbid_unknown_fields=True):
    """One of several variants that share an endpoint's requests by weight."""

    name: NameText
    model: ModelSpec | None = None
    pipeline: PipelineContainers | None = None
    containers: DirectContainers | None = None
    instances: Annotated[int, Meta(description="Instances to run.", extra_json_schema={"minimum": 1})] = 1
    instance_type: str = "local"
    weight: Annotated[
        float, Meta(description="Relative to the other variants.", extra_json_schema={"minimum": 0})
    ] = 1.0
    routing: RoutingText = "random"
    startup_timeout: Duration | None = None
    memory: MemoryText | None = None
    download_timeout: Duration | None = None
    max_in_flight: MaxInFlight | None = None
    queue_time: QueueTime | None = None


class ShadowSpec(Struct, forbid_unknown_fields=True):
    """A second model that gets copies of requests. Its responses are compared and never returned."""

    model: ModelSpec
    share: Annotated[str, _text("Share of the requests that is copied.", "20%", pattern=r"^[0-9.]+%$")] = "100%"
    name: NameText = "shadow"
    instances: Annotated[int, Meta(description="Instances to run.", extra_json_schema={"minimum": 1})] = 1
    instance_type: str = "local"
    routing: RoutingText = "random"
    startup_timeout: Duration | None = None
    memory: MemoryText | None = None
    download_timeout: Duration | None = None


class AsyncSpec(Struct, forbid_unknown_fields=True):
    """Requests are queued, and responses written to storage."""

    output: Annotated[str, _text("Where responses are written.", "s3://answers/fraud", "file:///srv/answers")]
    failure: Annotated[str, _text("Where errors are written.", "s3://answers/failed")] | None = None
    max_concurrent: Annotated[
        int, Meta(description="Concurrent requests per instance.", extra_json_schema={"minimum": 1})
    ] = 4
    success: Annotated[
        list[str],
        Meta(description="Notified of successes: topics (arn:aws:sns:...), webhooks (https://...), files."),
    ] = []
    error: Annotated[list[str], Meta(description="Notified of failures.")] = []
    include_response: Annotated[bool, Meta(description="Whether notifications include small responses.")] = False
    retries: Annotated[
        int,
        Meta(description="Further tries after a 5xx status or a timeout.", extra_json_schema={"minimum": 0}),
    ] = 0
    idle_after: (
        Annotated[Duration, _text("Scale to zero after the queue was empty for this long. Default: never.")] | None
    ) = None


class RolloutSpec(Struct, forbid_unknown_fields=True):
    """How an update is rolled out and what rolls it back."""

    strategy: Annotated[str, _text("How traffic moves to the new version.", enum=STRATEGIES)] = "all_at_once"
    size: Annotated[Size, _text("canary: first step, at most 50 %.")] | None = None
    step: Annotated[Size, _text("linear: each step, at most 50 %.")] | None = None
    batch: Annotated[Size, _text("rolling: instances replaced at a time, at most 50 %.")] | None = None
    rollback_batch: Annotated[Size, _text("rolling: batch of a rollback. Default: all.")] | None = None
    wait: Annotated[Duration, _text("Bake after each step, while alarms are watched.")] = "0"
    final_bake: Annotated[Duration, _text("Bake at 100 %, while the old version is still complete.")] = "0"
    timeout: Annotated[Duration, _text("Longest duration of the update, after which it rolls back.")] | None = None
    alarms: (
        Annotated[list[str], Meta(description="Alarms that roll it back. Default: all alarms of this file.")]
        | None
    ) = None
    require_evidence: Annotated[bool, Meta(description="Hold while an alarm has too little data to be OK.")] = (
        False
    )


class AlarmSpec(Struct, forbid_unknown_fields=True):
    """A threshold over a metric; ALARM when ``datapoints`` of the last ``periods`` breach it."""

    metric: Annotated[str, _text("Name of the metric.", "Invocation5XXErrors", "ModelLatency")]
    statistic: Annotated[str, _text("Average, Sum, Minimum, Maximum, SampleCount or a percentile.", "p99")]
    above: Threshold | None = None
    at_least: Threshold | None = None
    below: Threshold | None = None
    at_most: Threshold | None = None
    period: Annotated[Duration, _text("1s, 5s, 10s, 20s, 30s or whole minutes.")] = "10s"
    periods: Annotated[
        int, Meta(description="Number of periods that are evaluated.", extra_json_schema={"minimum": 1})
    ] = 3
    datapoints: (
        Annotated[
            int,
            Meta(description="How many of them must breach. Default: all.", extra_json_schema={"minimum": 1}),
        ]
        | None
    ) = None
    missing: Annotated[str, _text("What a period without data counts as.", enum=MISSING)] = "missing"
    scope: Annotated[str, _text("Requests of the new version alone, or of the whole endpoint.", enum=SCOPES)] = (
        "new_version"
    )
    variant: Annotated[str, _text("Required if the endpoint has several variants.")] | None = None
    namespace: Annotated[str, _text("For a metric of your own (PutMetricData).")] | None = None
    dimensions: Annotated[
        dict[str, str],
        Meta(description="With namespace: the exact dimensions. Without: ContainerName, for one container."),
    ] = {}
    description: str | None = None


class PeakSpec(Struct, forbid_unknown_fields=True):
    """A recurring peak load; its count is ready when it starts."""

    name: NameText
    starts: Annotated[
        str,
        _text(
            "When: cron(...), days(...), at(...) or rate(...).",
            "cron(0 8 L * ? *)",
            "days(0 8 15,L * working+1)",
        ),
    ]
    lasts: Annotated[Duration, _text("How long it lasts.", "3h")]
    count: Annotated[
        int,
        Meta(description="Instances (or provisioned concurrency).", extra_json_schema={"minimum": 0}),
    ]
    timezone: Annotated[str, _text("Name of a time zone.", "Europe/Vienna")] = "UTC"
    holidays: Annotated[
        str | None,
        _text(
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
    season: Annotated[Duration, _text("Time after which the load repeats.", "7d")] = "7d"


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
    metric: Annotated[str, _text("Metric to scale by.", enum=SCALING_METRICS)] | None = None
    rule: Annotated[
        str, _text("fast: within seconds, by concurrent requests; aws: target tracking with alarms.", enum=RULES)
    ] = "fast"
    queue_time: Annotated[Duration, _text("rule fast: longest wait of a request.", "50ms")] | None = None
    scale_in_after: (
        Annotated[Duration, _text("Scale in after lower load for this long. Default: 60s (fast), 5m (aws).")]
        | None
    ) = None
    calendar: Annotated[list[PeakSpec], Meta(description="Known recurring peaks.")] = []
    forecast: ForecastSpec | None = None
    variant: Annotated[str, _text("Required if the endpoint has several variants.")] | None = None


class SpecFile(Struct, forbid_unknown_fields=True):
    """One endpoint with everything it needs. One of ``model``, ``pipeline`` and ``containers`` (one variant), or
    ``variants``."""

    endpoint: NameText
    model: ModelSpec | None = None
    pipeline: PipelineContainers | None = None
    containers: DirectContainers | None = None
    instances: Annotated[int, Meta(description="Instances to run.", extra_json_schema={"minimum": 1})] = 1
    instance_type: str = "local"
    routing: RoutingText = "random"
    startup_timeout: Annotated[Duration, _text("Time until the first successful ping. Default: 8m.")] | None = None
    memory: MemoryText | None = None
    download_timeout: Annotated[Duration, _text("To download and unpack. Default: 15m.")] | None = None
    max_in_flight: MaxInFlight | None = None
    queue_time: QueueTime | None = None
    quotas: QuotasSpec | None = None
    variants: list[VariantSection] | None = None
    serverless: ServerlessSpec | None = None
    shadow: ShadowSpec | None = None
    asynchronous: AsyncSpec | None = msgspec.field(name="async", default=None)
    autoscaling: AutoscalingSpec | None = None
    rollout: RolloutSpec | None = None
    alarms: dict[str, AlarmSpec] = {}
    tags: dict[str, str] = {}


def schema() -> dict[str, Any]:
    """JSON Schema of a spec file, for editors and other programs."""
    body = msgspec.json.schema(SpecFile)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tidegate spec file",
        **body,
    }
