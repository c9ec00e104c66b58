"""The ``autoscaling`` section of a spec."""

from dataclasses import replace
from typing import Annotated, Any

from msgspec import Meta, Struct

from tidegate.domain.desired import DesiredDeployment, DesiredScaling
from tidegate.domain.endpoint import EndpointConfig
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import INSTANCES, SAGEMAKER, MetricId, Query
from tidegate.domain.scaling import (
    CalendarPeak,
    CalendarPolicy,
    CustomMetric,
    Dimension,
    FastPolicy,
    ForecastPolicy,
    PredefinedMetricType,
    ScalingPolicy,
    TargetTracking,
)
from tidegate.domain.worker_stats import TOKENS_IN_FLIGHT
from tidegate.schedules.cron import REGION_PATTERN
from tidegate.schedules.schedule import peak_schedule
from tidegate.spec import value_types
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.sections import Draft
from tidegate.spec.unit_texts import duration_text, number
from tidegate.spec.units import duration, one_of
from tidegate.spec.value_types import RULES, SCALING_METRICS, Duration, NameText, about

# --- structure of a spec's ``autoscaling`` section ---


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


_PATH: KeyPath = ("autoscaling",)
COOLDOWN = 300
"""Seconds: Application Auto Scaling's default for SageMaker."""


WORDS = {
    PredefinedMetricType.INVOCATIONS: "invocations",
    PredefinedMetricType.CONCURRENT: "concurrency",
    PredefinedMetricType.UTILIZATION: "utilization",
}


def build_scaling(given: AutoscalingSpec, draft: Draft) -> DesiredScaling:
    """Raises SpecError."""
    config = draft.desired.config
    variant = _variant(given, [one.name for one in config.variants])
    dimension = Dimension.PROVISIONED if config.serverless else Dimension.INSTANCES
    _check_bounds(given, config)
    rule = one_of(given.rule, value_types.RULES, (*_PATH, "rule"))
    policies: list[ScalingPolicy] = []
    if given.target is not None:
        if not 0 < given.target < float("inf"):
            raise SpecError((*_PATH, "target"), f"{given.target:g}: must be above 0")
        policies.append(_fast(given) if rule == "fast" else _tracking(given, draft.desired, variant))
    if given.calendar:
        policies.append(_calendar(given))
    if given.forecast is not None:
        policies.append(_forecast(given.forecast))
    from_zero = rule == "aws" and config.asynchronous is not None and given.min == 0
    return DesiredScaling(variant, dimension, given.min, given.max, tuple(policies), from_zero)


def _variant(given: AutoscalingSpec, variants: list[str]) -> str:
    path = (*_PATH, "variant")
    if given.variant is None:
        if len(variants) > 1:
            raise SpecError(_PATH, f"'variant' is missing: there are {', '.join(variants)}")
        return variants[0]
    return one_of(given.variant, tuple(variants), path)


def _check_bounds(given: AutoscalingSpec, config: EndpointConfig) -> None:
    least = 0 if config.asynchronous is not None or config.serverless else 1
    if given.min < least:
        raise SpecError((*_PATH, "min"), f"{given.min}: must be at least {least}")
    if given.max < max(1, given.min):
        raise SpecError((*_PATH, "max"), f"{given.max}: must be at least {max(1, given.min)}")
    bounds = config.variants[0].serverless
    if bounds is not None and given.max > bounds.max_concurrency:
        raise SpecError((*_PATH, "max"), f"{given.max}: more than serverless.max_concurrency")
    if config.asynchronous is not None and config.asynchronous.idle_after is not None:
        raise SpecError(("async", "idle_after"), "cannot be combined with autoscaling: set its min instead")


def _fast(given: AutoscalingSpec) -> FastPolicy:
    if given.metric is not None and given.metric != "concurrency":
        raise SpecError((*_PATH, "metric"), f"{given.metric!r} needs rule: aws; rule: fast uses concurrency")
    assert given.target is not None
    waits = None if given.queue_time is None else duration(given.queue_time, (*_PATH, "queue_time"))
    policy = FastPolicy("fast", float(given.target), waits)
    if given.scale_in_after is None:
        return policy
    window = duration(given.scale_in_after, (*_PATH, "scale_in_after"))
    return FastPolicy("fast", float(given.target), waits, scale_in_window=window)


def _tracking(given: AutoscalingSpec, desired: DesiredDeployment, variant: str) -> TargetTracking:
    if given.queue_time is not None:
        raise SpecError((*_PATH, "queue_time"), "needs rule: fast")
    allowed = _allowed_metrics(desired.config)
    word = one_of(given.metric or allowed[0], allowed, (*_PATH, "metric"))
    cooldown = COOLDOWN
    if given.scale_in_after is not None:
        cooldown = int(duration(given.scale_in_after, (*_PATH, "scale_in_after")))
    assert given.target is not None
    return TargetTracking(
        "tracking", float(given.target), _metric(word, desired.endpoint, variant), scale_in_cooldown=cooldown
    )


def _allowed_metrics(config: EndpointConfig) -> tuple[str, ...]:
    """Metrics of rule aws, the default first."""
    if config.serverless:
        return ("utilization",)
    return (
        ("backlog", "cpu") if config.asynchronous is not None else ("invocations", "concurrency", "cpu", "tokens")
    )


def default_metric(config: EndpointConfig) -> str:
    """Metric of rule aws for an endpoint that names none."""
    return _allowed_metrics(config)[0]


def _metric(word: str, endpoint: str, variant: str) -> PredefinedMetricType | CustomMetric | tuple[Query, ...]:
    if word == "backlog":
        metric = MetricId.of(SAGEMAKER, "ApproximateBacklogSizePerInstance", {"EndpointName": endpoint})
        return CustomMetric(metric, "Average")
    named = {"EndpointName": endpoint, "VariantName": variant}
    if word == "tokens":
        return tokens_in_flight(named)
    if word == "cpu":
        return CustomMetric(MetricId.of(INSTANCES, "CPUUtilization", named), "Average")
    return next(metric for metric, known in WORDS.items() if known == word)


def tokens_in_flight(named: dict[str, str]) -> tuple[Query, ...]:
    """The tokens in flight of an instance. Nothing is reported while there are none: they are 0 then, if the requests
    in flight are known."""
    tokens = MetricId.of(SAGEMAKER, TOKENS_IN_FLIGHT, named)
    requests = MetricId.of(SAGEMAKER, "ConcurrentRequestsPerModel", named)
    return (
        Query("tokens", tokens, "Average", returned=False),
        Query("requests", requests, "Average", returned=False),
        Query("all", expression="FILL(tokens, 0) + 0 * requests"),
    )


def _calendar(given: AutoscalingSpec) -> CalendarPolicy:
    peaks = []
    for index, peak in enumerate(given.calendar):
        path = (*_PATH, "calendar", index)
        lasts = duration(peak.lasts, (*path, "lasts"))
        if lasts <= 0:
            raise SpecError((*path, "lasts"), "must be above 0")
        if not given.min <= peak.count <= given.max:
            raise SpecError((*path, "count"), f"{peak.count}: must be {given.min} to {given.max}, min to max")
        made = CalendarPeak(peak.name, peak.starts, lasts, peak.count, peak.timezone, peak.holidays or "")
        for key, one in (("starts", replace(made, holidays="")), ("holidays", made)):
            try:
                peak_schedule(one)
            except Invalid as error:
                raise SpecError((*path, key), error.message) from None
        peaks.append(made)
    return CalendarPolicy("calendar", tuple(peaks))


def _forecast(given: ForecastSpec) -> ForecastPolicy:
    if not 0 < given.per_instance < float("inf"):
        raise SpecError((*_PATH, "forecast", "per_instance"), f"{given.per_instance:g}: must be above 0")
    season = duration(given.season, (*_PATH, "forecast", "season"))
    if season <= 0:
        raise SpecError((*_PATH, "forecast", "season"), "must be above 0")
    return ForecastPolicy("forecast", float(given.per_instance), season)


# --- the section ``autoscaling`` of a deployment, as plain data without defaults ---


def render_scaling(deployed: DesiredDeployment) -> dict[str, Any]:
    given = deployed.autoscaling
    assert given is not None
    made: dict[str, Any] = {"min": given.minimum, "max": given.maximum}
    if [given.variant] != [one.name for one in deployed.config.variants]:
        made["variant"] = given.variant
    made |= {"rule": "aws"} if given.from_zero else {}
    for policy in given.policies:
        made |= _policy(policy, default_metric(deployed.config))
    return made


def _policy(policy: ScalingPolicy, usual_metric: str) -> dict[str, Any]:
    match policy:
        case FastPolicy():
            return _render_fast(policy)
        case TargetTracking():
            return _render_tracking(policy, usual_metric)
        case CalendarPolicy():
            return {"calendar": [_render_peak(one) for one in policy.peaks]}
        case ForecastPolicy():
            made: dict[str, Any] = {"per_instance": number(policy.per_instance)}
            usual = ForecastPolicy(policy.name, policy.per_instance)
            made |= {} if policy.season == usual.season else {"season": duration_text(policy.season)}
            return {"forecast": made}
        case _:
            return {}  # steps are of "from zero", or made by the API


def _render_fast(policy: FastPolicy) -> dict[str, Any]:
    made: dict[str, Any] = {"target": number(policy.in_flight)}
    if policy.queue_time is not None:
        made["queue_time"] = duration_text(policy.queue_time)
    usual = FastPolicy(policy.name, policy.in_flight).scale_in_window
    return made | (
        {} if policy.scale_in_window == usual else {"scale_in_after": duration_text(policy.scale_in_window)}
    )


def _render_tracking(policy: TargetTracking, usual_metric: str) -> dict[str, Any]:
    made: dict[str, Any] = {"target": number(policy.target), "rule": "aws"}
    word = _render_metric(policy.metric)
    made |= {} if word == usual_metric else {"metric": word}
    if policy.scale_in_cooldown != COOLDOWN:
        made["scale_in_after"] = duration_text(policy.scale_in_cooldown)
    return made


def _render_metric(metric: object) -> str:
    if isinstance(metric, PredefinedMetricType):
        return WORDS[metric]
    if isinstance(metric, CustomMetric):
        return "cpu" if metric.metric.name == "CPUUtilization" else "backlog"
    return "tokens"  # a spec makes no other metric math


def _render_peak(peak: CalendarPeak) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": peak.name,
        "starts": peak.starts,
        "lasts": duration_text(peak.lasts),
        "count": peak.count,
    }
    made |= {} if peak.timezone == "UTC" else {"timezone": peak.timezone}
    return made | ({"holidays": peak.holidays} if peak.holidays else {})
