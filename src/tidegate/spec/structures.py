"""Structure of the core's part of a spec file. Values with units are still text here."""

from typing import Annotated

from msgspec import Meta, Struct, field

from tidegate.domain.registry import Protocol
from tidegate.spec.admission import MaxInFlight, QuotasSpec
from tidegate.spec.value_types import (
    AUTO,
    METHODS,
    MISSING,
    SCOPES,
    STRATEGIES,
    Devices,
    Duration,
    InstanceTypeText,
    MemoryText,
    NameText,
    QueueTime,
    RoutingText,
    Size,
    Threshold,
    about,
)


class MultiModelSpec(Struct, forbid_unknown_fields=True):
    """Many models under one address, each loaded on its first request."""

    memory: (
        Annotated[
            str,
            about("Memory for the models of an instance.", "4GiB", pattern=r"^[0-9.]+ ?([KMGT]i?)?B$"),
        ]
        | None
    ) = None
    pin: Annotated[list[str], Meta(description="Models that are loaded at the start and never unloaded.")] = []
    prefetch: Annotated[
        list[str], Meta(description="Models that are loaded at the start, as far as memory allows.")
    ] = []
    minimum_stay: Annotated[Duration, about("Minimum time that a loaded model stays. Default: 10s.")] | None = None
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
            about(
                "Disk space for XGBoost models that are kept ready to load. Default: no limit.",
                "10GiB",
                pattern=r"^[0-9.]+ ?([KMGT]i?)?B$",
            ),
        ]
        | None
    ) = None
    cache: Annotated[bool, Meta(description="Whether models stay loaded after a request.")] = True


class SecretSpec(Struct, forbid_unknown_fields=True):
    """The text of a file in the server's folder of secrets."""

    secret: Annotated[str, about("Name of the file in TIDEGATE_SECRETS.", "fraud-token")]


class FollowSpec(Struct, forbid_unknown_fields=True):
    """Roll out each version that a registry names, with the rollout of this file."""

    address: (
        Annotated[str, about("The alias or group that is followed. Default: data.", "models:/fraud@champion")]
        | None
    ) = None
    every: Annotated[Duration, about("Time between two looks at the registry.")] = "30s"
    restore: Annotated[bool, Meta(description="After a rollback, move the alias back, or reject the package.")] = (
        False
    )


class ModelSpec(Struct, forbid_unknown_fields=True):
    """A model: the image that serves it and the data that it serves."""

    image: Annotated[
        str,
        about("A name in the server's table of images. Default: detected from the data.", "tidegate/xgboost"),
    ] = AUTO
    data: (
        Annotated[
            str,
            about(
                "Model data: a path (relative to the spec file), a file:// or an s3:// address, .tar.gz or plain; or"
                " the address of a model in a registry.",
                "file://./model.tar.gz",
                "s3://models/fraud.tar.gz",
                "models:/fraud@champion",
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
            about("Method of a scikit-learn model that responds. Default: predict.", enum=METHODS),
        ]
        | None
    ) = None
    container: (
        Annotated[str, about("A container image that serves the model.", "ghcr.example/team/fraud:1.4")] | None
    ) = None
    url: (
        Annotated[
            str | list[str],
            Meta(
                description="Address of an HTTP service that serves the model already; several are its replicas."
            ),
        ]
        | None
    ) = None
    port: (
        Annotated[
            int,
            Meta(
                description="Port that the container listens on. Default: 8080.",
                extra_json_schema={"minimum": 1, "maximum": 65535},
            ),
        ]
        | None
    ) = None
    health: (
        Annotated[str, about("Path that responds with 200 once it can serve. Default: /ping.", "/healthz")] | None
    ) = None
    predict: Annotated[str, about("Path that takes predictions. Default: /invocations.", "/predict")] | None = None
    arguments: Annotated[list[str], Meta(description="Arguments of the container image's entrypoint.")] = []
    headers: Annotated[
        dict[str, str | SecretSpec],
        Meta(description="Headers of each request to the service; {secret: NAME} is read from TIDEGATE_SECRETS."),
    ] = {}
    protocol: Annotated[
        str, about("What the container or service speaks.", enum=tuple(one.value for one in Protocol))
    ] = Protocol.SAGEMAKER.value
    prediction: (
        Annotated[str, about("Path of the prediction in JSON answers.", "$.scores[0]", pattern=r"^\$")] | None
    ) = None
    gpus: (
        Annotated[
            int,
            Meta(description="Accelerators of each instance, as devices.", extra_json_schema={"minimum": 0}),
        ]
        | None
    ) = None
    fingerprint: (
        Annotated[str, about("Identifies the content at the address. The CLI sets it for files that it can read.")]
        | None
    ) = None
    follow: Annotated[
        bool | FollowSpec, Meta(description="data is an alias or a group of a registry: follow it.")
    ] = False
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
        about("Memory limit of an instance.", "2GiB", pattern=r"^[0-9]+(\.[0-9]+)? ?([KMGT]i?B|B)?$"),
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
    idle_after: Annotated[Duration, about("Time after which an unused instance is stopped.")] = "5m"
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
    instance_type: InstanceTypeText = "local"
    weight: Annotated[
        float, Meta(description="Relative to the other variants.", extra_json_schema={"minimum": 0})
    ] = 1.0
    routing: RoutingText = "random"
    startup_timeout: Duration | None = None
    memory: MemoryText | None = None
    devices: Devices = 0
    download_timeout: Duration | None = None
    max_in_flight: MaxInFlight | None = None
    queue_time: QueueTime | None = None


class ShadowSpec(Struct, forbid_unknown_fields=True):
    """A second model that gets copies of requests. Its responses are compared and never returned."""

    model: ModelSpec
    share: Annotated[str, about("Share of the requests that is copied.", "20%", pattern=r"^[0-9.]+%$")] = "100%"
    name: NameText = "shadow"
    instances: Annotated[int, Meta(description="Instances to run.", extra_json_schema={"minimum": 1})] = 1
    instance_type: InstanceTypeText = "local"
    routing: RoutingText = "random"
    startup_timeout: Duration | None = None
    memory: MemoryText | None = None
    devices: Devices = 0
    download_timeout: Duration | None = None


class HoldbackSpec(Struct, forbid_unknown_fields=True):
    """Keep the old version complete, and a share of the traffic on it, after the last step."""

    share: Annotated[str, about("Share of the traffic, at most 50 %.", "1%")]
    for_: Annotated[Duration, about("How long.", "24h")] = field(name="for")


class StickSpec(Struct, forbid_unknown_fields=True):
    """Keep each client on one version while traffic moves; evidence then counts clients."""

    header: Annotated[str, about("Header whose value names the client.", "X-Client")]


class RolloutSpec(Struct, forbid_unknown_fields=True):
    """How an update is rolled out and what rolls it back."""

    strategy: Annotated[str, about("How traffic moves to the new version.", enum=STRATEGIES)] = "all_at_once"
    size: Annotated[Size, about("canary: first step, at most 50 %.")] | None = None
    step: Annotated[Size, about("linear: each step, at most 50 %.")] | None = None
    batch: Annotated[Size, about("rolling: instances replaced at a time, at most 50 %.")] | None = None
    rollback_batch: Annotated[Size, about("rolling: batch of a rollback. Default: all.")] | None = None
    wait: Annotated[Duration, about("Bake after each step, while alarms are watched.")] = "0"
    final_bake: Annotated[Duration, about("Bake at 100 %, while the old version is still complete.")] = "0"
    holdback: HoldbackSpec | None = None
    stick: StickSpec | None = None
    timeout: Annotated[Duration, about("Longest duration of the update, after which it rolls back.")] | None = None
    alarms: (
        Annotated[list[str], Meta(description="Alarms that roll it back. Default: all alarms of this file.")]
        | None
    ) = None
    require_evidence: Annotated[bool, Meta(description="Hold while an alarm has too little data to be OK.")] = (
        False
    )


class AlarmSpec(Struct, forbid_unknown_fields=True):
    """A threshold over a metric, or over a signal: a number that Prometheus or another server has. ALARM when
    ``datapoints`` of the last ``periods`` breach it."""

    metric: (
        Annotated[
            str,
            about(
                "Name of the metric. Required unless it watches a signal.", "Invocation5XXErrors", "ModelLatency"
            ),
        ]
        | None
    ) = None
    statistic: (
        Annotated[
            str,
            about(
                "Average, Sum, Minimum, Maximum, SampleCount, a percentile, or a trimmed statistic (tm90). Required"
                " with metric; of a signal by default Average.",
                "p99",
            ),
        ]
        | None
    ) = None
    prometheus: (
        Annotated[str, about("Instead of metric: address of a Prometheus server.", "http://prometheus:9090")]
        | None
    ) = None
    query: (
        Annotated[str, about("With prometheus: PromQL with one number as its result.", "sum(rate(lost[1m]))")]
        | None
    ) = None
    http: (
        Annotated[str, about("Instead of metric: address of a JSON document.", "http://checkout/health.json")]
        | None
    ) = None
    value: (
        Annotated[str, about("With http: path of the number in the document.", "$.rate", pattern=r"^\$")] | None
    ) = None
    headers: Annotated[
        dict[str, str | SecretSpec],
        Meta(description="Headers of each request for a signal; {secret: NAME} is read from TIDEGATE_SECRETS."),
    ] = {}
    for_: (
        Annotated[
            Duration,
            about("Of a signal, instead of periods: for how long it must breach. Default: 30s."),
        ]
        | None
    ) = field(default=None, name="for")
    above: Threshold | None = None
    at_least: Threshold | None = None
    below: Threshold | None = None
    at_most: Threshold | None = None
    period: Annotated[Duration, about("1s, 5s, 10s, 20s, 30s or whole minutes.")] = "10s"
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
    missing: Annotated[str, about("What a period without data counts as.", enum=MISSING)] = "missing"
    scope: Annotated[str, about("Requests of the new version alone, or of the whole endpoint.", enum=SCOPES)] = (
        "new_version"
    )
    variant: Annotated[str, about("Required if the endpoint has several variants.")] | None = None
    namespace: Annotated[str, about("For a metric of your own (PutMetricData).")] | None = None
    dimensions: Annotated[
        dict[str, str],
        Meta(description="With namespace: the exact dimensions. Without: ContainerName, for one container."),
    ] = {}
    description: Annotated[str, about("For people; it changes nothing.")] | None = None


class SpecFile(Struct, forbid_unknown_fields=True):
    """One endpoint with everything it needs. One of ``model``, ``pipeline`` and ``containers`` (one variant), or
    ``variants``."""

    # Features add their sections: spec/sections.py.
    endpoint: NameText
    target: (
        Annotated[
            str,
            about(
                "Where the endpoint runs: a target that the server has. Default: the server's default.",
                "local",
                "kubernetes",
            ),
        ]
        | None
    ) = None
    model: ModelSpec | None = None
    pipeline: PipelineContainers | None = None
    containers: DirectContainers | None = None
    instances: Annotated[int, Meta(description="Instances to run.", extra_json_schema={"minimum": 1})] = 1
    instance_type: InstanceTypeText = "local"
    routing: RoutingText = "random"
    startup_timeout: Annotated[Duration, about("Time until the first successful ping. Default: 8m.")] | None = None
    memory: MemoryText | None = None
    devices: Devices = 0
    download_timeout: Annotated[Duration, about("To download and unpack. Default: 15m.")] | None = None
    max_in_flight: MaxInFlight | None = None
    queue_time: QueueTime | None = None
    quotas: QuotasSpec | None = None
    variants: (
        Annotated[
            list[VariantSection],
            Meta(description="Several variants instead of model: they share the requests by their weights."),
        ]
        | None
    ) = None
    serverless: ServerlessSpec | None = None
    shadow: ShadowSpec | None = None
    rollout: RolloutSpec | None = None
    alarms: Annotated[
        dict[str, AlarmSpec], Meta(description="Alarms by their names; they roll back an update that they reject.")
    ] = {}
    tags: Annotated[dict[str, str], Meta(description="Tags of the endpoint, as SageMaker has them.")] = {}
