"""The sections ``rollout`` and ``alarms`` of a deployment, as plain data without defaults."""

from typing import Any

from tidegate.domain.alarm import Alarm
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.rollout import DeploymentConfig
from tidegate.domain.traffic import WHOLE
from tidegate.spec import alarms as definitions
from tidegate.spec import structures
from tidegate.spec.alarms import render_signal
from tidegate.spec.unit_texts import duration_text, percent_text, size_text, threshold_text

_STEPS = {"canary": "size", "linear": "step"}
_COMPARED = {operator: key for key, operator in definitions.COMPARISONS.items()}


def render_rollout(deployed: DesiredDeployment) -> dict[str, Any]:
    given = deployed.deployment
    made = _strategy(given)
    if given.holdback is not None:
        share = percent_text(given.holdback.share / WHOLE)
        made["holdback"] = {"share": share, "for": duration_text(given.holdback.seconds)}
    if given.stick:
        made["stick"] = {"header": given.stick}
    if given.execution_timeout is not None:
        made["timeout"] = duration_text(given.execution_timeout)
    if set(given.alarms) != {alarm.name for alarm in deployed.alarms}:
        named = {alarm.name: alarm_key(deployed, alarm.name) for alarm in deployed.alarms}
        made["alarms"] = [named.get(name, name) for name in given.alarms]
    return made | ({"require_evidence": True} if given.require_evidence else {})


def _strategy(given: DeploymentConfig) -> dict[str, Any]:
    made: dict[str, Any] = {}
    green, rolling = given.blue_green, given.rolling
    if rolling is not None:
        made = {"strategy": "rolling", "batch": size_text(rolling.batch)}
        if rolling.rollback_batch is not None:
            made["rollback_batch"] = size_text(rolling.rollback_batch)
        return made | ({"wait": duration_text(rolling.wait)} if rolling.wait else {})
    if green is None:
        return made
    strategy = green.routing.value.lower()
    if strategy in _STEPS:
        made["strategy"] = strategy
        made |= {} if green.size is None else {_STEPS[strategy]: size_text(green.size)}
    made |= {"wait": duration_text(green.wait)} if green.wait else {}
    return made | ({"final_bake": duration_text(green.termination_wait)} if green.termination_wait else {})


def render_alarms(deployed: DesiredDeployment) -> dict[str, dict[str, Any]]:
    return {alarm_key(deployed, alarm.name): _alarm(deployed, alarm) for alarm in deployed.alarms}


def alarm_key(deployed: DesiredDeployment, name: str) -> str:
    """The key of an alarm in the file; the whole name of one that no spec made."""
    for prefix in (f"{deployed.config.name}-", f"{deployed.endpoint}-"):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def _alarm(deployed: DesiredDeployment, alarm: Alarm) -> dict[str, Any]:
    usual = structures.AlarmSpec()
    made: dict[str, Any] = {"metric": alarm.metric, "statistic": alarm.statistic}
    if alarm.signal is not None:
        made = render_signal(alarm.signal)
        made |= {} if alarm.statistic == "Average" else {"statistic": alarm.statistic}
    made[_COMPARED[alarm.comparison]] = threshold_text(alarm.threshold, alarm.metric)
    made |= {} if alarm.period == 10 else {"period": duration_text(alarm.period)}
    if alarm.evaluation_periods != usual.periods or (alarm.signal is not None and alarm.period != 10):
        span = {"for": duration_text(alarm.period * alarm.evaluation_periods)}
        made |= {"periods": alarm.evaluation_periods} if alarm.signal is None else span
    if alarm.datapoints_to_alarm != alarm.evaluation_periods:
        made["datapoints"] = alarm.datapoints_to_alarm
    made |= {} if alarm.missing.value == usual.missing else {"missing": alarm.missing.value}
    made |= _series(deployed, alarm) if alarm.signal is None else {}
    return made if alarm.description is None else {**made, "description": alarm.description}


def _series(deployed: DesiredDeployment, alarm: Alarm) -> dict[str, Any]:
    """``scope``, ``variant`` and ``dimensions`` of a metric of endpoints; else ``namespace`` and all dimensions."""
    left = dict(alarm.dimensions)
    own = left.pop("EndpointConfigName", None) == deployed.config.name
    named = left.pop("EndpointName", None) == deployed.endpoint and "VariantName" in left
    if not named or definitions.METRICS.get(alarm.metric) != alarm.namespace:
        return {"namespace": alarm.namespace, "dimensions": dict(alarm.dimensions)}
    made: dict[str, Any] = {} if own else {"scope": "endpoint"}
    variant, names = left.pop("VariantName"), [one.name for one in deployed.config.variants]
    made |= {} if [variant] == names else {"variant": variant}
    return made | ({"dimensions": left} if left else {})
