"""The figures of ``--with NAME=VALUE``: what each is, how it is read, and what is taken where it is not said."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.features.cost.extras import Extras
from tidegate.features.cost.fleet import SCALE_IN, TARGET, WAVES, ScalingBounds
from tidegate.features.cost.hosted import BatchJob, RequestWork
from tidegate.features.cost.many_models import ModelPool
from tidegate.features.cost.pricing_options import Figures
from tidegate.spec.problem import suggest
from tidegate.spec.units import bytes_of, duration


def _seconds(text: str) -> float:
    return duration(text, ("--with",))


def _bytes(text: str) -> float:
    # A small k is right for a thousand, and a spec's sizes do not take it.
    return float(bytes_of(text.replace("kB", "KB"), ("--with",)))


def _part(text: str) -> float:
    return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)


READ: Mapping[str, tuple[Callable[[str], Any], Any, str]] = {
    "region": (str, "us-east-1", "whose prices"),
    "year": (int, None, "whose calendar; this year"),
    "growth": (_part, 0.0, "of traffic in that year, such as 20%"),
    "per_instance": (float, None, "requests/s that one instance answers in time"),
    "target": (_part, TARGET, "part of it at which autoscaling holds an instance"),
    "waves": (_part, WAVES, "by which an hour's busiest minutes lie above it"),
    "seconds": (_seconds, 0.05, "of one request, such as 50ms"),
    "at_once": (int, 1, "requests that one instance works on at a time (async, batch)"),
    "in": (_bytes, 2000.0, "bytes of a request, such as 2kB"),
    "out": (_bytes, 200.0, "bytes of an answer"),
    "volume": (_bytes, 0.0, "storage at each instance, such as 30GB"),
    "alarms": (int, 0, "watched at all times"),
    "keep": (_seconds, 7 * 86400.0, "that inputs and outputs stay in S3 (async, batch)"),
    "provisioned": (int, 0, "requests at a time that are kept warm (serverless, lambda)"),
    "records": (float, None, "of one batch job"),
    "runs": (float, 12.0, "batch jobs a year"),
    "jobs_on": (int, 1, "instances of one batch job"),
    "startup": (_seconds, 240.0, "of one batch job until it works, which are paid"),
    "per_object": (float, 1000.0, "records of a batch job in one object of S3"),
    "models": (int, None, "that one endpoint has (multi-model, dedicated)"),
    "model_size": (_bytes, None, "of one in memory, such as 50kB"),
    "hot": (_part, 1.0, "part of them that is loaded at one time"),
}
"""Name: how it is read, what it is where it is not said (None: it has to be, where it is needed), what it is."""


@dataclass(frozen=True)
class CostOptions:
    """``values`` of all names; ``given`` are those that a person said."""

    values: Mapping[str, Any]
    given: frozenset[str]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def over(self, others: Mapping[str, Any]) -> "CostOptions":
        """With ``others`` where a person said nothing."""
        more = {name: value for name, value in others.items() if name not in self.given}
        return CostOptions({**self.values, **more}, self.given)


def read(pairs: Iterable[str]) -> CostOptions:
    """Raises Invalid for an unknown name and for a value that cannot be read."""
    values: dict[str, Any] = {name: default for name, (_, default, _) in READ.items()}
    given = set()
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in READ:
            raise Invalid(f"--with {pair}: expected NAME=VALUE{suggest(name, READ)}")
        kind, _, what = READ[name]
        try:
            values[name] = kind(text)
        except ValueError:
            raise Invalid(f"--with {name}={text}: not a value ({what})") from None
        given.add(name)
    return CostOptions(values, frozenset(given))


def figures(said: CostOptions, bounds: tuple[int, int], lanes: int) -> tuple[Figures, str | None]:
    """With what was assumed, in words. ``bounds`` are least and most instances, ``lanes`` the requests that one works
    on at a time."""
    assumed = None
    per_instance = said["per_instance"]
    if per_instance is None:
        per_instance = lanes / said["seconds"]
        assumed = (
            f"{per_instance:.4g} requests/s to an instance, {lanes} at a time and {said['seconds'] * 1000:g} ms "
            "each; measure it, then say --with per_instance=N"
        )
    models = None
    if said["models"] is not None and said["model_size"] is not None:
        models = ModelPool(said["models"], said["model_size"], said["hot"])
    job = None
    if said["records"] is not None:
        job = BatchJob(said["records"], said["runs"], int(said["jobs_on"]), said["startup"], said["per_object"])
    gigabytes = said["volume"] / 1e9
    extras = Extras(said["in"], said["out"], gigabytes, int(said["alarms"]), said["keep"] / 86400)
    made = Figures(
        ScalingBounds(per_instance, *bounds, said["target"], SCALE_IN, said["waves"]),
        RequestWork(said["seconds"], int(said["at_once"])),
        said["provisioned"],
        extras,
        job,
        models,
    )
    return made, assumed


def describe_options() -> str:
    """Every name, for the help."""
    return "\n".join(f"  {name:13} {what}" for name, (_, _, what) in READ.items())
