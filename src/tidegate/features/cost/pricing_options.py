"""Ways of serving by name, each priced for a load: ``ml.c5.xlarge``, ``serverless:2GB``, ``batch:ml.m5.xlarge``."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tidegate.domain.errors import Invalid
from tidegate.features.cost import containers, hosted, on_demand
from tidegate.features.cost.bill import Bill, Tariff
from tidegate.features.cost.extras import NOTHING, Extras
from tidegate.features.cost.fleet import ScalingBounds, fixed
from tidegate.features.cost.many_models import ModelPool, dedicated, shared
from tidegate.features.cost.traffic import Load


@dataclass(frozen=True)
class Figures:
    """The figures that a bill needs beside the load. ``work`` is one request; figures that a way has no use for are
    not read."""

    scaling: ScalingBounds
    work: hosted.RequestWork
    provisioned: int = 0
    extras: Extras = NOTHING
    job: hosted.BatchJob | None = None
    models: ModelPool | None = None


@dataclass(frozen=True)
class PricingOption:
    """A way of serving: ``kind`` and what follows its colon, such as an instance type or an amount of memory."""

    kind: str
    of: str

    @classmethod
    def named(cls, text: str) -> "PricingOption":
        """Parse the name of a way. Raises Invalid for a text that names none."""
        kind, colon, of = text.partition(":")
        if not colon:
            kind, of = ("real-time", text) if text not in EXAMPLES else (text, EXAMPLES[text].partition(":")[2])
        if kind not in EXAMPLES or not of:
            raise Invalid(f"{text!r} is no way of serving; expected one such as {', '.join(EXAMPLES.values())}")
        return cls(kind, of)

    def __str__(self) -> str:
        return self.of if self.kind == "real-time" else f"{self.kind}:{self.of}"

    @property
    def by_request(self) -> bool:
        """Whether a bill of no requests is nothing and grows with every request, without jumps."""
        return self.kind in ("serverless", "lambda")

    @property
    def instance(self) -> str | None:
        """The SageMaker instance type that an endpoint of this way has at all hours."""
        return self.of if self.kind in ("real-time", "fixed", "multi-model") else None

    def lanes(self, tariff: Tariff) -> int:
        """Return how many requests one instance works on at a time, at one for each accelerator, or else for each
        vCPU; 1 where there are no instances. Raises UnknownInstanceType."""
        if self.kind in ("serverless", "lambda"):
            return 1
        if self.kind == "fargate":
            return max(1, int(_task(self).vcpus))
        machine = tariff.catalogue.instance(f"ml.{self.of.removeprefix('ml.')}")
        return machine.accelerators or machine.vcpus

    def scaling(self, figures: Figures, load: Load, tariff: Tariff) -> ScalingBounds:
        """Return the bounds that this way uses: a fixed fleet has one size, and many models need memory."""
        if self.kind == "fixed":
            return fixed(load, figures.scaling)
        if self.kind == "multi-model":
            return shared(tariff, _models(figures), self.of, figures.scaling)
        return figures.scaling

    def bill(self, tariff: Tariff, figures: Figures, load: Load) -> Bill:
        """Price a load that is served this way. Raises what the prices and the figures raise."""
        return _BILLS[self.kind](self, tariff, figures, load)


EXAMPLES: Mapping[str, str] = {
    "real-time": "ml.c5.xlarge",
    "fixed": "fixed:ml.c5.xlarge",
    "serverless": "serverless:2GB",
    "async": "async:ml.g4dn.xlarge",
    "batch": "batch:ml.m5.xlarge",
    "lambda": "lambda:1GB",
    "fargate": "fargate:1x2GB",
    "ecs": "ecs:m5.large",
    "eks": "eks:m5.large",
    "dedicated": "dedicated:ml.m5.large",
    "multi-model": "multi-model:ml.m5.xlarge",
}
"""Every way that there is, with how it is named. ``dedicated`` is an endpoint for each of many models."""


def _real_time(way: PricingOption, tariff: Tariff, figures: Figures, load: Load) -> Bill:
    return hosted.real_time(tariff, way.of, way.scaling(figures, load, tariff), load, figures.extras)


def _dedicated(way: PricingOption, tariff: Tariff, figures: Figures, load: Load) -> Bill:
    return dedicated(tariff, _models(figures), way.of, figures.scaling, load, extras=figures.extras)


def _asynchronous(way: PricingOption, tariff: Tariff, figures: Figures, load: Load) -> Bill:
    bounds = (figures.scaling.least, figures.scaling.most)
    return hosted.asynchronous(tariff, way.of, figures.work, bounds, load, figures.extras)


def _batch(way: PricingOption, tariff: Tariff, figures: Figures, load: Load) -> Bill:
    if figures.job is None:
        raise Invalid("a batch job needs the number of its records: say records=50000")
    if way.of.startswith("fargate:"):
        return containers.fargate_job(tariff, _task(PricingOption.named(way.of)), figures.job, figures.work)
    if not way.of.startswith("ml."):
        return containers.node_job(tariff, way.of, figures.job, figures.work)
    return hosted.batch(tariff, way.of, figures.job, figures.work, hours=float(load.hours), extras=figures.extras)


def _serverless(way: PricingOption, tariff: Tariff, figures: Figures, load: Load) -> Bill:
    return on_demand.serverless(tariff, _on_demand(way, figures), load, figures.extras)


def _function(way: PricingOption, tariff: Tariff, figures: Figures, load: Load) -> Bill:
    return on_demand.function(tariff, _on_demand(way, figures), load, figures.extras)


def _fargate(way: PricingOption, tariff: Tariff, figures: Figures, load: Load) -> Bill:
    return containers.fargate(tariff, _task(way), figures.scaling, load, figures.extras)


def _task(way: PricingOption) -> containers.Task:
    found = re.fullmatch(r"([0-9.]+)x(.+)", way.of)
    if found is None:
        raise Invalid(f"{way}: expected vCPUs and memory, such as {EXAMPLES['fargate']}")
    return containers.Task(_number(found[1], way), _gigabytes(found[2], way))


def _ecs(way: PricingOption, tariff: Tariff, figures: Figures, load: Load) -> Bill:
    return containers.ecs(tariff, way.of.removeprefix("ml."), figures.scaling, load, figures.extras)


def _eks(way: PricingOption, tariff: Tariff, figures: Figures, load: Load) -> Bill:
    return containers.eks(tariff, way.of.removeprefix("ml."), figures.scaling, load, figures.extras)


_BILLS: Mapping[str, Callable[[PricingOption, Tariff, Figures, Load], Bill]] = {
    "real-time": _real_time,
    "fixed": _real_time,
    "multi-model": _real_time,
    "dedicated": _dedicated,
    "serverless": _serverless,
    "async": _asynchronous,
    "batch": _batch,
    "lambda": _function,
    "fargate": _fargate,
    "ecs": _ecs,
    "eks": _eks,
}


def _models(figures: Figures) -> ModelPool:
    if figures.models is None:
        raise Invalid("many models need their number and size: say models=1000 and model_size=50kB")
    return figures.models


def _on_demand(way: PricingOption, figures: Figures) -> on_demand.OnDemandUsage:
    return on_demand.OnDemandUsage(_gigabytes(way.of, way), figures.work.seconds, figures.provisioned)


def _gigabytes(text: str, way: PricingOption) -> float:
    found = re.fullmatch(r"([0-9.]+) ?(GB|GiB|MB|MiB)", text)
    if found is None:
        raise Invalid(f"{way}: {text!r} is no amount of memory, such as 2GB")
    # AWS sells memory in binary units and calls them GB.
    return _number(found[1], way) / (1 if found[2].startswith("G") else 1024)


def _number(text: str, way: PricingOption) -> float:
    try:
        value = float(text)
    except ValueError:
        raise Invalid(f"{way}: {text!r} is no number") from None
    if not (math.isfinite(value) and value > 0):
        raise Invalid(f"{way}: {text} must be above 0")
    return value
