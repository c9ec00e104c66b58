"""The ``autoscaling`` section of a spec."""

from dataclasses import replace

from tidegate.domain.desired import DesiredScaling
from tidegate.domain.endpoint import EndpointConfig
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import INSTANCES, SAGEMAKER, MetricId
from tidegate.domain.scaling import (
    CalendarPeak,
    CalendarPolicy,
    CustomMetric,
    Dimension,
    FastPolicy,
    ForecastPolicy,
    Predefined,
    ScalingPolicy,
    TargetTracking,
)
from tidegate.features.autoscaling import spec as scaling_structures
from tidegate.features.autoscaling.calendar import peak_schedule
from tidegate.spec import structures, value_types
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.units import duration, one_of

_PATH: KeyPath = ("autoscaling",)
COOLDOWN = 300
"""Seconds: Application Auto Scaling's default for SageMaker."""


WORDS = {
    Predefined.INVOCATIONS: "invocations",
    Predefined.CONCURRENT: "concurrency",
    Predefined.UTILIZATION: "utilization",
}


def build_scaling(spec: structures.SpecFile, variants: list[str]) -> DesiredScaling | None:
    """Desired autoscaling; None if the spec has none. Raises SpecError."""
    given = spec.autoscaling
    if given is None:
        return None
    variant = _variant(given, variants)
    dimension = Dimension.PROVISIONED if spec.serverless is not None else Dimension.INSTANCES
    _check_bounds(given, spec)
    rule = one_of(given.rule, value_types.RULES, (*_PATH, "rule"))
    policies: list[ScalingPolicy] = []
    if given.target is not None:
        if not 0 < given.target < float("inf"):
            raise SpecError((*_PATH, "target"), f"{given.target:g}: must be above 0")
        policies.append(_fast(given) if rule == "fast" else _tracking(given, spec, variant))
    if given.calendar:
        policies.append(_calendar(given))
    if given.forecast is not None:
        policies.append(_forecast(given.forecast))
    from_zero = rule == "aws" and spec.asynchronous is not None and given.min == 0
    return DesiredScaling(variant, dimension, given.min, given.max, tuple(policies), from_zero)


def _variant(given: scaling_structures.AutoscalingSpec, variants: list[str]) -> str:
    path = (*_PATH, "variant")
    if given.variant is None:
        if len(variants) > 1:
            raise SpecError(_PATH, f"'variant' is missing: there are {', '.join(variants)}")
        return variants[0]
    return one_of(given.variant, tuple(variants), path)


def _check_bounds(given: scaling_structures.AutoscalingSpec, spec: structures.SpecFile) -> None:
    least = 0 if spec.asynchronous is not None or spec.serverless is not None else 1
    if given.min < least:
        raise SpecError((*_PATH, "min"), f"{given.min}: must be at least {least}")
    if given.max < max(1, given.min):
        raise SpecError((*_PATH, "max"), f"{given.max}: must be at least {max(1, given.min)}")
    if spec.serverless is not None and given.max > spec.serverless.max_concurrency:
        raise SpecError((*_PATH, "max"), f"{given.max}: more than serverless.max_concurrency")
    if spec.asynchronous is not None and spec.asynchronous.idle_after is not None:
        raise SpecError(("async", "idle_after"), "cannot be combined with autoscaling: set its min instead")


def _fast(given: scaling_structures.AutoscalingSpec) -> FastPolicy:
    if given.metric is not None and given.metric != "concurrency":
        raise SpecError((*_PATH, "metric"), f"{given.metric!r} needs rule: aws; rule: fast uses concurrency")
    assert given.target is not None
    waits = None if given.queue_time is None else duration(given.queue_time, (*_PATH, "queue_time"))
    policy = FastPolicy("fast", float(given.target), waits)
    if given.scale_in_after is None:
        return policy
    window = duration(given.scale_in_after, (*_PATH, "scale_in_after"))
    return FastPolicy("fast", float(given.target), waits, scale_in_window=window)


def _tracking(
    given: scaling_structures.AutoscalingSpec, spec: structures.SpecFile, variant: str
) -> TargetTracking:
    if given.queue_time is not None:
        raise SpecError((*_PATH, "queue_time"), "needs rule: fast")
    allowed = _allowed_metrics(spec.serverless is not None, spec.asynchronous is not None)
    word = one_of(given.metric or allowed[0], allowed, (*_PATH, "metric"))
    cooldown = COOLDOWN
    if given.scale_in_after is not None:
        cooldown = int(duration(given.scale_in_after, (*_PATH, "scale_in_after")))
    assert given.target is not None
    return TargetTracking(
        "tracking", float(given.target), _metric(word, spec.endpoint, variant), scale_in_cooldown=cooldown
    )


def _allowed_metrics(serverless: bool, asynchronous: bool) -> tuple[str, ...]:
    """Metrics of rule aws, the default first."""
    if serverless:
        return ("utilization",)
    return ("backlog", "cpu") if asynchronous else ("invocations", "concurrency", "cpu")


def default_metric(config: EndpointConfig) -> str:
    """Metric of rule aws for an endpoint that names none."""
    return _allowed_metrics(config.serverless, config.asynchronous is not None)[0]


def _metric(word: str, endpoint: str, variant: str) -> Predefined | CustomMetric:
    if word == "backlog":
        metric = MetricId.of(SAGEMAKER, "ApproximateBacklogSizePerInstance", {"EndpointName": endpoint})
        return CustomMetric(metric, "Average")
    if word == "cpu":
        named = {"EndpointName": endpoint, "VariantName": variant}
        return CustomMetric(MetricId.of(INSTANCES, "CPUUtilization", named), "Average")
    return next(metric for metric, known in WORDS.items() if known == word)


def _calendar(given: scaling_structures.AutoscalingSpec) -> CalendarPolicy:
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


def _forecast(given: scaling_structures.ForecastSpec) -> ForecastPolicy:
    if not 0 < given.per_instance < float("inf"):
        raise SpecError((*_PATH, "forecast", "per_instance"), f"{given.per_instance:g}: must be above 0")
    season = duration(given.season, (*_PATH, "forecast", "season"))
    if season <= 0:
        raise SpecError((*_PATH, "forecast", "season"), "must be above 0")
    return ForecastPolicy("forecast", float(given.per_instance), season)
