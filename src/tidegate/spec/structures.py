"""A spec file as it is written, and its JSON Schema. Units and names are still text here."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tidegate.scaling.working_days import REGION_PATTERN
from tidegate.spec.admission import MaxInFlight, QuotasSpec

AUTO = "tidegate/auto"
"""The image that runs a model by what its data is."""
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
        "What an instance may hold before it is replaced; 0: no limit.",
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
    Duration, _text("Requests beyond that wait so long at the most and are refused then; 1s when absent.", "50ms")
]
NameText = Annotated[str, _text("1 to 63 letters, digits and hyphens.", pattern=NAME)]
RoutingText = Annotated[str, _text("How a request picks an instance.", enum=ROUTINGS)]


class MultiModelSpec(Struct, forbid_unknown_fields=True):
    """Many models under one address, each loaded when it is first asked for."""

    memory: (
        Annotated[
            str,
            _text("Memory that the models of an instance may take.", "4GiB", pattern=r"^[0-9.]+ ?([KMGT]i?)?B$"),
        ]
        | None
    ) = None
    pin: Annotated[list[str], Meta(description="Models that are loaded at the start and never let go.")] = []
    prefetch: Annotated[
        list[str], Meta(description="Models that are loaded at the start, as far as there is room.")
    ] = []
    minimum_stay: (
        Annotated[Duration, _text("A loaded model stays that long, whoever else waits; 10s when absent.")] | None
    ) = None
    loading: (
        Annotated[
            int,
            Meta(
                description="Models that are loaded at one time; 2 when absent.", extra_json_schema={"minimum": 1}
            ),
        ]
        | None
    ) = None
    disk: (
        Annotated[
            str,
            _text(
                "Disk that XGBoost models kept ready to load may take; no limit when absent.",
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
        _text("A name in the server's table of images; when absent, by what the data is.", "tidegate/xgboost"),
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
            str, _text("The method of a scikit-learn model that answers; predict when absent.", enum=METHODS)
        ]
        | None
    ) = None
    fingerprint: (
        Annotated[
            str, _text("Tells versions of the same address apart. The CLI fills it in for files that it can read.")
        ]
        | None
    ) = None
    multi_model: (
        Annotated[
            MultiModelSpec, Meta(description="data is a folder or prefix of many models; a request names its own.")
        ]
        | None
    ) = None


class ContainerSection(ModelSpec, kw_only=True, forbid_unknown_fields=True):
    """One of several containers of a model, with a name of its own."""

    name: NameText


class ServerlessSpec(Struct, forbid_unknown_fields=True):
    """Runs only while it is asked: instances come with the requests and go when there are none."""

    memory: Annotated[
        str | int,
        _text("What an instance may hold.", "2GiB", pattern=r"^[0-9]+(\.[0-9]+)? ?([KMGT]i?B|B)?$"),
    ]
    max_concurrency: Annotated[
        int,
        Meta(description="Requests at one time; more wait, then are throttled.", extra_json_schema={"minimum": 1}),
    ]
    provisioned: Annotated[
        int,
        Meta(
            description="Requests at one time for which instances are always there.",
            extra_json_schema={"minimum": 0},
        ),
    ] = 0
    idle_after: Annotated[Duration, _text("An instance goes that long after it was needed last.")] = "5m"
    per_instance: Annotated[
        int, Meta(description="Requests at one time in one instance.", extra_json_schema={"minimum": 1})
    ] = 10


PipelineContainers = Annotated[
    list[ContainerSection],
    Meta(
        description="2 to 15 containers in place of model: each one's answer is the next one's request.",
        extra_json_schema={"minItems": 2, "maxItems": 15},
    ),
]
DirectContainers = Annotated[
    list[ContainerSection],
    Meta(
        description="2 to 15 containers in place of model: each request names the one that it is for.",
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
    """A second model that gets a copy of some requests; its answers are kept for comparison, never returned."""

    model: ModelSpec
    share: Annotated[str, _text("The part of the requests that is copied.", "20%", pattern=r"^[0-9.]+%$")] = "100%"
    name: NameText = "shadow"
    instances: Annotated[int, Meta(description="Instances to run.", extra_json_schema={"minimum": 1})] = 1
    instance_type: str = "local"
    routing: RoutingText = "random"
    startup_timeout: Duration | None = None
    memory: MemoryText | None = None
    download_timeout: Duration | None = None


class AsyncSpec(Struct, forbid_unknown_fields=True):
    """Requests are queued, and answers put into a storage."""

    output: Annotated[str, _text("Where answers are put.", "s3://answers/fraud", "file:///srv/answers")]
    failure: Annotated[str, _text("Where it is put what went wrong.", "s3://answers/failed")] | None = None
    max_concurrent: Annotated[
        int, Meta(description="Requests in the hands of an instance.", extra_json_schema={"minimum": 1})
    ] = 4
    success: Annotated[
        list[str],
        Meta(description="Who is told of answers: topics (arn:aws:sns:...), webhooks (https://...), files."),
    ] = []
    error: Annotated[list[str], Meta(description="Who is told of failures.")] = []
    include_response: Annotated[bool, Meta(description="Whether notifications carry small answers.")] = False
    retries: Annotated[
        int,
        Meta(description="Further tries after a 5xx status or a timeout.", extra_json_schema={"minimum": 0}),
    ] = 0
    idle_after: (
        Annotated[Duration, _text("No instances while the queue is empty for that long; always some when absent.")]
        | None
    ) = None


class RolloutSpec(Struct, forbid_unknown_fields=True):
    """How an update is carried out and what makes it roll back."""

    strategy: Annotated[str, _text("How traffic moves to the new version.", enum=STRATEGIES)] = "all_at_once"
    size: Annotated[Size, _text("canary: the first part, at most 50 %.")] | None = None
    step: Annotated[Size, _text("linear: each part, at most 50 %.")] | None = None
    batch: Annotated[Size, _text("rolling: instances replaced at a time, at most 50 %.")] | None = None
    rollback_batch: (
        Annotated[Size, _text("rolling: instances at a time on the way back; all when absent.")] | None
    ) = None
    wait: Annotated[Duration, _text("Bake after each part, alarms watched.")] = "0"
    final_bake: Annotated[Duration, _text("Bake at 100 % with the old version still whole.")] = "0"
    timeout: Annotated[Duration, _text("The whole update; past it, it rolls back.")] | None = None
    alarms: (
        Annotated[list[str], Meta(description="Alarms that roll it back; every alarm of this file when absent.")]
        | None
    ) = None
    require_evidence: Annotated[bool, Meta(description="Hold while an alarm has too little data to say OK.")] = (
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
        int, Meta(description="How many periods are looked at.", extra_json_schema={"minimum": 1})
    ] = 3
    datapoints: (
        Annotated[
            int,
            Meta(description="How many of them must breach; all when absent.", extra_json_schema={"minimum": 1}),
        ]
        | None
    ) = None
    missing: Annotated[str, _text("What a period without data counts as.", enum=MISSING)] = "missing"
    scope: Annotated[str, _text("Requests of the new version alone, or of the whole endpoint.", enum=SCOPES)] = (
        "new_version"
    )
    variant: Annotated[str, _text("Needed where the endpoint has several variants.")] | None = None
    namespace: Annotated[str, _text("For a metric of your own (PutMetricData).")] | None = None
    dimensions: Annotated[
        dict[str, str],
        Meta(description="With namespace: the exact dimensions. Without: ContainerName, of one container alone."),
    ] = {}
    description: str | None = None


class PeakSpec(Struct, forbid_unknown_fields=True):
    """A recurring time of much load; its count is there when it starts."""

    name: NameText
    starts: Annotated[
        str,
        _text(
            "When: cron(...), days(...), at(...) or rate(...).", "cron(0 8 L * ? *)", "days(0 8 15,L * working+1)"
        ),
    ]
    lasts: Annotated[Duration, _text("How long it lasts.", "3h")]
    count: Annotated[
        int, Meta(description="Instances (or provisioned concurrency) then.", extra_json_schema={"minimum": 0})
    ]
    timezone: Annotated[str, _text("Name of a time zone.", "Europe/Vienna")] = "UTC"
    holidays: Annotated[
        str | None,
        _text(
            "Country, or a part of one, whose public holidays move LW and 15W.",
            "CH",
            "CH-ZH",
            pattern=REGION_PATTERN,
        ),
    ] = None


class ForecastSpec(Struct, forbid_unknown_fields=True):
    """Learns the shape of the load and has the count ready that the near future needs."""

    per_instance: Annotated[
        float,
        Meta(
            description="Requests per second that one instance should get.",
            extra_json_schema={"exclusiveMinimum": 0},
        ),
    ]
    season: Annotated[Duration, _text("The load repeats itself after that.", "7d")] = "7d"


class AutoscalingSpec(Struct, forbid_unknown_fields=True):
    """How many instances (of a serverless endpoint: how much provisioned concurrency) there are, by the load."""

    min: Annotated[
        int, Meta(description="At least; 0 for async and serverless only.", extra_json_schema={"minimum": 0})
    ]
    max: Annotated[int, Meta(description="At most.", extra_json_schema={"minimum": 1})]
    target: (
        Annotated[
            float,
            Meta(
                description="What one instance should have of the metric.",
                extra_json_schema={"exclusiveMinimum": 0},
            ),
        ]
        | None
    ) = None
    metric: Annotated[str, _text("What is looked at.", enum=SCALING_METRICS)] | None = None
    rule: Annotated[
        str, _text("fast: within seconds, by requests at one time; aws: target tracking with alarms.", enum=RULES)
    ] = "fast"
    queue_time: Annotated[Duration, _text("rule fast: a request may wait that long.", "50ms")] | None = None
    scale_in_after: (
        Annotated[Duration, _text("Nothing goes before less was needed for that long; 60s (fast), 5m (aws).")]
        | None
    ) = None
    calendar: Annotated[list[PeakSpec], Meta(description="Recurring peaks that are known.")] = []
    forecast: ForecastSpec | None = None
    variant: Annotated[str, _text("Needed where the endpoint has several variants.")] | None = None


class SpecFile(Struct, forbid_unknown_fields=True):
    """One endpoint with all it needs. One of ``model``, ``pipeline`` and ``containers`` (one variant), or
    ``variants``."""

    endpoint: NameText
    model: ModelSpec | None = None
    pipeline: PipelineContainers | None = None
    containers: DirectContainers | None = None
    instances: Annotated[int, Meta(description="Instances to run.", extra_json_schema={"minimum": 1})] = 1
    instance_type: str = "local"
    routing: RoutingText = "random"
    startup_timeout: Annotated[Duration, _text("Until the first good ping; 8m when absent.")] | None = None
    memory: MemoryText | None = None
    download_timeout: Annotated[Duration, _text("Fetching and unpacking; 15m when absent.")] | None = None
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
