"""Specs for tests of the SageMaker target: fixed ones, and drawn ones with every section."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.spec.build import parse
from tidegate.targets.sagemaker.calls import CompiledDeployment, LocalData, RunningConfig, ServingVariant
from tidegate.targets.sagemaker.compile import compile_native
from tidegate.targets.sagemaker.options import SagemakerOptions, parse_options

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OPTIONS = {
    "region": "eu-central-1",
    "role_arn": "arn:aws:iam::123456789012:role/service/tidegate-run",
    "bucket": "models-bucket",
}
FILE = "file:///srv/model.tar.gz"
LOCAL = {FILE: LocalData("/srv/model.tar.gz", "ab" * 32, 1000)}
ALARMS: dict[str, Any] = {
    "errors": {
        "metric": "Invocation5XXErrors",
        "statistic": "Average",
        "above": "2%",
        "period": "1m",
        "periods": 2,
    }
}


def options(**more: Any) -> SagemakerOptions:
    return parse_options({**OPTIONS, **more})


def spec(**more: Any) -> dict[str, Any]:
    """A real-time endpoint; a key with None is left out."""
    base: dict[str, Any] = {
        "endpoint": "fraud",
        "model": {"image": "tidegate/xgboost", "data": FILE},
        "instances": 2,
        "instance_type": "ml.c5.large",
        "alarms": ALARMS,
    }
    return {key: value for key, value in {**base, **more}.items() if value is not None}


def wish(**more: Any) -> DesiredDeployment:
    return parse(spec(**more), NOW)


def serving(count: int = 2, type: str = "ml.c5.large", name: str = "AllTraffic", **more: Any) -> RunningConfig:
    return RunningConfig("fraud-000000000000", (ServingVariant(name, type, count, **more),))


def compiled(
    was: RunningConfig | None = None, given: SagemakerOptions | None = None, now: datetime = NOW, **more: Any
) -> CompiledDeployment:
    return compile_native(wish(**more), given or options(), LOCAL, was, now)


_times = st.sampled_from(["0", "30s", "1m", "10m", "1h", "2h"])
_models = st.fixed_dictionaries(
    {
        "image": st.sampled_from(
            [
                "tidegate/xgboost",
                "tidegate/sklearn",
                "tidegate/pytorch",
                "123456789012.dkr.ecr.eu-central-1.amazonaws.com/own@sha256:" + "0" * 64,
            ]
        ),
        "data": st.sampled_from(
            [FILE, "s3://models-bucket/a.tar.gz", "s3://models-bucket/tree/", "s3://b-1/m.ubj"]
        ),
        "environment": st.dictionaries(st.sampled_from(["A", "B_2"]), st.text("abc 1", max_size=5), max_size=2),
    }
)
_types = st.sampled_from(["ml.c5.large", "ml.m5.xlarge", "ml.g5.xlarge", "ml.c6g.large", "ml.inf1.xlarge"])
_alarms = st.dictionaries(
    st.sampled_from(["errors", "slow", "few"]),
    st.fixed_dictionaries(
        {
            "metric": st.sampled_from(["Invocation5XXErrors", "Invocations", "CPUUtilization"]),
            "statistic": st.sampled_from(["Average", "Sum", "p99", "p99.9"]),
            "above": st.sampled_from([1, 0.5]),
            "period": st.sampled_from(["10s", "1m", "5m"]),
            "periods": st.integers(1, 5),
            "missing": st.sampled_from(["missing", "notBreaching", "breaching"]),
            "scope": st.sampled_from(["new_version", "endpoint"]),
            "variant": st.just("a"),
        }
    ),
    max_size=3,
)


@st.composite
def _rollouts(draw: st.DrawFn) -> dict[str, Any]:
    strategy = draw(st.sampled_from(["all_at_once", "canary", "linear", "rolling"]))
    made: dict[str, Any] = {"strategy": strategy, "require_evidence": draw(st.booleans())}
    size = draw(st.sampled_from(["5%", "10%", "25%", "33%", "50%", 1]))
    if strategy == "rolling":
        return made | {"batch": size, "wait": draw(_times)}
    made["final_bake"] = draw(_times)
    if strategy != "all_at_once":
        made |= {"size" if strategy == "canary" else "step": size, "wait": draw(_times)}
    return made


@st.composite
def drawn_wishes(draw: st.DrawFn) -> DesiredDeployment:
    """A spec that tidegate accepts; SageMaker may refuse it."""
    try:
        return parse(draw(_drawn_specs()), NOW)
    except Invalid:
        reject()


@st.composite
def _drawn_specs(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(["plain", "variants", "shadow", "serverless", "async", "pipeline", "direct", "many"])
    )
    alarms = draw(_alarms)
    only = {key: {**value, "variant": "AllTraffic"} for key, value in alarms.items()}
    made: dict[str, Any] = {
        "endpoint": draw(st.sampled_from(["fraud", "a", "x" * 63, "Pay-Roll-1"])),
        "rollout": draw(_rollouts()),
        "tags": draw(st.dictionaries(st.sampled_from(["team", "cost:centre"]), st.just("pay roll"), max_size=2)),
        "alarms": only,
    }
    count, chosen = draw(st.integers(1, 12)), draw(_types)
    if kind == "variants":
        variant = {"model": draw(_models), "instances": count, "instance_type": chosen}
        weight = draw(st.sampled_from([0, 1, 2.5]))
        second = {"name": "b", "model": draw(_models), "instance_type": chosen, "weight": weight}
        return made | {"alarms": alarms, "variants": [{"name": "a", **variant}, second]}
    made |= {"instances": count, "instance_type": chosen, "model": draw(_models)}
    if kind == "shadow":
        made["shadow"] = {"model": draw(_models), "share": "20%", "instance_type": chosen}
    elif kind == "serverless":
        megabytes = draw(st.sampled_from(["512MiB", "2GiB", "6GiB"]))
        made["serverless"] = {"memory": megabytes, "max_concurrency": 5, "provisioned": draw(st.integers(0, 3))}
        made |= {"instances": 1, "instance_type": "local"}
    elif kind == "async":
        made["async"] = {
            "output": "s3://answers-bucket/fraud",
            "success": draw(st.sampled_from([[], ["arn:aws:sns:eu-central-1:123456789012:done"]])),
        }
        made["autoscaling"] = {"min": 0, "max": 3, "target": 5, "rule": "aws"}
    elif kind in ("pipeline", "direct"):
        del made["model"]
        key = "pipeline" if kind == "pipeline" else "containers"
        made[key] = [{"name": "first", **draw(_models)}, {"name": "second", **draw(_models)}]
    elif kind == "many":
        made["model"] = {**made["model"], "data": "s3://models-bucket/tree/", "multi_model": {}}
    elif draw(st.booleans()):
        made["autoscaling"] = {
            "min": 1,
            "max": 20,
            "target": 7.5,
            "rule": draw(st.sampled_from(["fast", "aws"])),
            "calendar": [{"name": "payday", "starts": "cron(0 8 L * ? *)", "lasts": "3h", "count": 9}],
        }
    return made


drawn_servings = st.one_of(
    st.none(),
    st.builds(
        serving,
        count=st.integers(1, 12),
        type=_types,
        name=st.sampled_from(["AllTraffic", "other"]),
        scalable=st.sampled_from([(), ("sagemaker:variant:DesiredInstanceCount",)]),
    ),
)
