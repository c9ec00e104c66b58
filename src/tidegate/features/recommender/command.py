"""``recommend``: load tests on this machine or by SageMaker, and what they mean for each instance type."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli.artifacts import address_model, look_up_models
from tidegate.cli.output import AsJson
from tidegate.domain.errors import Invalid
from tidegate.domain.registry_addresses import is_registry_address
from tidegate.features.recommender.configurations import Objective
from tidegate.features.recommender.local_recommender import LocalRequest, recommend_local
from tidegate.features.recommender.sagemaker_job import SageMakerJobSpec
from tidegate.features.recommender.sagemaker_recommender import choose_job_name, recommend_by_sagemaker
from tidegate.features.recommender.search import Effort
from tidegate.load.open_loop import read_payloads
from tidegate.spec.problem import suggest
from tidegate.spec.units import duration

HERE, SAGEMAKER = "here", "sagemaker"
OPTION_NAMES: Mapping[str, tuple[str, ...]] = {
    HERE: ("content_type", "image", "seconds"),
    SAGEMAKER: ("content_type", "types", "job", "domain", "task", "framework", "framework_version"),
}
"""Names that ``--with`` accepts."""
_CONTAINER = {
    "domain": "Domain",
    "task": "Task",
    "framework": "Framework",
    "framework_version": "FrameworkVersion",
}
DEFAULT_BUDGET = 300.0
DEFAULT_REGION = "us-east-1"


def recommend(
    *,
    model: Annotated[str, typer.Option(metavar="DATA", help="A path, file://, s3://, or a registry's address.")],
    sample: Annotated[str, typer.Option(metavar="FILE", help="Bodies to send, one per line: JSON Lines or CSV.")],
    slo: Annotated[str, typer.Option(metavar="pNN=TIME", help="Objective, such as p99=50ms.")] = "p99=50ms",
    rps: Annotated[float, typer.Option(help="Requests per second to sustain.")] = 100.0,
    budget: Annotated[str | None, typer.Option(help="Time limit; default here: 5m.")] = None,
    region: Annotated[
        str | None, typer.Option(help="Region of prices (us-east-1), or of SageMaker (AWS's own setting).")
    ] = None,
    on: Annotated[str, typer.Option(metavar="WHERE", help="here or sagemaker.")] = HERE,
    role: Annotated[str, typer.Option(metavar="ARN", help="Role of SageMaker's job.")] = "",
    said: Annotated[list[str], typer.Option("--with", metavar="NAME=VALUE", help="See below.")] = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Find the cheapest configuration, by load tests.

    A private server on this machine serves the model in one configuration after the other (instances, threads, batch
    size) under an open-loop load; the result is scaled to instance types by the CPU time and memory measured.

    With --on sagemaker, SageMaker's inference recommender load-tests real instances instead, which AWS bills.
    Credentials and address are AWS's own (AWS_PROFILE, AWS_ENDPOINT_URL_SAGEMAKER ...); --sample is a .tar.gz in S3,
    --model a model's name or the ARN of a model package's version.

    \b
    --with NAME=VALUE, as often as needed:
      content_type  of the bodies; by the file's name when left out
      image         here: what serves it (tidegate/auto)
      seconds       here: of one load; by --budget when left out
      types, job    SageMaker: instance types, with commas, else it chooses them; name of the job
      domain, task, framework, framework_version   SageMaker: of the model, in its words

    \b
    Examples:
      tidegate recommend --model model.tar.gz --sample rows.csv --slo p99=50ms --rps 300
      tidegate recommend --on sagemaker --role arn:aws:iam::123456789012:role/sagemaker --model fraud \\
        --sample s3://data/samples.tar.gz --slo p95=50ms --rps 300 --with types=ml.c5.large,ml.m5.large
    """
    objective = _parse_objective(slo)
    _check(rps, on, role)
    limit = None if budget is None else duration(budget, ("--budget",))
    if limit == 0:
        raise Invalid(f"--budget {budget}: too short to try anything; leave it out for {DEFAULT_BUDGET:g}s")
    more = _parse_options(said, on)
    if on == SAGEMAKER:
        asked = _sagemaker_request(model, sample, objective, limit, {**more, "role": role})
        recommend_by_sagemaker(asked, region, rps, as_json=as_json)
        return
    wanted = _local_request(model, sample, objective, rps, DEFAULT_BUDGET if limit is None else limit, more)
    recommend_local(wanted, region or DEFAULT_REGION, as_json=as_json)


def _check(rate: float, on: str, role: str) -> None:
    if not 0 < rate <= 1e6:
        raise Invalid(f"--rps {rate:g}: give a rate above 0 and up to a million")
    if on not in OPTION_NAMES:
        raise Invalid(f"--on {on}: expected {' or '.join(OPTION_NAMES)}")
    if role and on != SAGEMAKER:
        raise Invalid("--role goes with --on sagemaker")


def _parse_objective(text: str) -> Objective:
    name, equals, limit = text.partition("=")
    try:
        percent = float(name.removeprefix("p"))
    except ValueError:
        percent = 0.0
    if not equals or not name.startswith("p") or not percent:
        raise Invalid(f"--slo {text!r}: expected something like p99=50ms")
    return Objective(percent, duration(limit, ("--slo",)))


def _find_model(model: str) -> dict[str, Any]:
    """Return model data as in a spec. Raises Invalid, or the server's error."""
    if not is_registry_address(model):
        return {"data": _absolute_address(model)}
    loaded = address_model(model)
    found: Any = look_up_models(loaded, loaded.data)
    return {key: one for key, one in found["model"].items() if key != "fingerprint"}  # another server's version


def _absolute_address(model: str) -> str:
    """Make a path absolute; leave anything else unchanged."""
    if "://" in model:
        return model
    path = Path(model)
    if not path.exists():
        raise Invalid(f"--model {model}: there is no such file or folder")
    return path.absolute().as_uri() + ("/" if path.is_dir() else "")


def _parse_options(pairs: Iterable[str], on: str) -> dict[str, str]:
    """Raises Invalid for an unknown name."""
    said = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in OPTION_NAMES[on]:
            raise Invalid(f"--with {pair}: expected NAME=VALUE{suggest(name, OPTION_NAMES[on])}")
        said[name] = text.strip()
    return said


def _local_request(
    model: str, sample: str, objective: Objective, rate: float, budget: float, more: Mapping[str, str]
) -> LocalRequest:
    bodies, kind = read_payloads(Path(sample), more.get("content_type"))
    effort = Effort.within(budget)
    if "seconds" in more:
        seconds = duration(more["seconds"], ("--with seconds",))
        if not 0.2 <= seconds <= 60:
            raise Invalid(f"--with seconds={more['seconds']}: give 200ms to 60s")
        effort = Effort.of(seconds)
    chosen = _find_model(model) | ({"image": more["image"]} if "image" in more else {})
    return LocalRequest(chosen, bodies, kind, objective, rate, budget, effort)


def _sagemaker_request(
    model: str, sample: str, objective: Objective, limit: float | None, more: Mapping[str, str]
) -> SageMakerJobSpec:
    """Raises Invalid for values that SageMaker does not accept."""
    if not more["role"]:
        raise Invalid("--on sagemaker needs --role: the ARN of the IAM role that the job takes")
    if "://" not in sample:
        raise Invalid(
            f"--sample {sample}: SageMaker reads it from S3: give s3://BUCKET/KEY.tar.gz, bodies as files in it"
        )
    container: dict[str, object] = {member: more[name] for name, member in _CONTAINER.items() if name in more}
    if "content_type" in more:
        container["SupportedContentTypes"] = [more["content_type"]]
    return SageMakerJobSpec(
        name=choose_job_name(model, more.get("job", "")),
        model=model,
        role=more["role"],
        sample=sample,
        objective=objective,
        types=tuple(each.strip() for each in more.get("types", "").split(",") if each.strip()),
        seconds=None if limit is None else int(limit),
        more=container,
    )
