"""``spec init``: a first spec file for a model, by asking."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from tidegate import spec
from tidegate.cli.artifacts import prepare
from tidegate.cli.output import AsJson, print_note, show
from tidegate.cli.validate import check_assurance
from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.domain.registry_addresses import is_registry_address
from tidegate.host.atomic_write import write_atomically
from tidegate.host.features import features
from tidegate.serving.artifacts.detect_runtime import detect
from tidegate.serving.contract.catalogue import RuntimeKind

AUTO = "tidegate/auto"
ARCHIVES = (".tar.gz", ".tgz", ".zip")
STRATEGIES = {
    "canary": "a tenth of the traffic first, then all of it",
    "linear": "a quarter of the traffic at a time",
    "all_at_once": "all of the traffic at once",
}
_ROLLOUTS = {
    "canary": "  strategy: canary\n  size: 10%\n  wait: 10m\n  final_bake: 5m\n",
    "linear": "  strategy: linear\n  step: 25%\n  wait: 10m\n  final_bake: 5m\n",
    "all_at_once": "  strategy: all_at_once\n  final_bake: 5m\n",
}
_FIRST = {"canary": "10%", "linear": "25%"}
"""The share of the first stage."""


@dataclass(frozen=True)
class _InitAnswers:
    """Answers that the spec is made of. ``latency`` is the p99 above which a rollout rolls back, such as
    ``100ms``; ``sections`` what features asked for: sections of the spec, by the comment that explains them."""

    endpoint: str
    image: str
    instances: str
    strategy: str
    latency: str
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def init(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Model data: a path, file://, s3://, or a registry's address.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="SPEC", help="The file to write.", show_default="ENDPOINT.yaml")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Name of the endpoint; by the model's when left out.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take the defaults.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a spec file for a model, by asking.

    It asks for the endpoint's name, the runtime, the instances, the strategy, the latency that is too much, and what
    would hurt: "one failed answer in 200" rules that out before the new version gets more than its first share. An
    empty answer takes the default. 'tidegate deploy' takes the file.

    \b
    Examples:
      tidegate spec init model.tar.gz
      tidegate spec init fraud.ubj --yes --out fraud.yaml
    """
    name = endpoint or suggest_name(model)
    defaults = _InitAnswers(name, _find_image(model), "1", "canary", "500ms")
    answers = defaults if yes else _ask(defaults, named=endpoint is not None)
    path = out or Path(f"{answers.endpoint}.yaml")
    text = write_spec(answers, _relative(model, path.absolute().parent))
    # Validate before writing, so that an invalid answer leaves no file.
    loaded = spec.load(text, str(path))
    check_assurance(loaded.wish(datetime.now(UTC), prepare(loaded, path.absolute().parent, must_exist=False)))
    _write(path, text, force=force)
    document = {"spec": str(path), "endpoint": answers.endpoint, "image": answers.image}
    show(document, as_json, f"wrote {path}: 'tidegate deploy {path} --wait' serves it")


def suggest_name(model: str) -> str:
    """A valid endpoint name from the model's file, or its folder: ``fraud_v2.tar.gz`` is fraud-v2."""
    last = model.rstrip("/").rpartition("/")[2]
    for ending in ARCHIVES:
        last = last.removesuffix(ending)
    stem = last.rpartition(".")[0] or last
    return re.sub(r"[^a-zA-Z0-9]+", "-", stem).strip("-")[:63].strip("-") or "model"


def _find_image(model: str) -> str:
    """Find the image for a model by the file names, if they are here and not in an archive; otherwise the server
    examines them."""
    path = Path(model.removeprefix("file://")).expanduser()
    if is_registry_address(model) or ("://" in model and not model.startswith("file://")):
        return AUTO
    if not path.exists():
        raise Invalid(f"{model}: there is no such file or folder; give model data that is here, or s3://")
    if path.name.endswith(ARCHIVES):
        return AUTO
    names = [path.name] if path.is_file() else [str(one.relative_to(path)) for one in path.rglob("*")]
    try:
        return detect(names, {}).descriptor.images[0].shown
    except ArtifactError:
        return AUTO


def _ask(defaults: _InitAnswers, *, named: bool) -> _InitAnswers:
    name = defaults.endpoint if named else _answer("Name of the endpoint", defaults.endpoint)
    images = [image.shown for kind in RuntimeKind for image in kind.descriptor.images]
    own = [name for name in images if name.startswith("tidegate/")]
    image = _answer(f"Image that serves it ({', '.join(own)})", defaults.image)
    instances = _answer("Instances", defaults.instances)
    for key, text in STRATEGIES.items():
        print_note(f"  {key}: {text}")
    strategy = _answer("How a new version gets its traffic", defaults.strategy)
    if strategy not in STRATEGIES:
        raise Invalid(f"strategy {strategy!r}: expected one of {', '.join(STRATEGIES)}")
    latency = _answer("A new version is turned back when its p99 latency is above", defaults.latency)
    return _InitAnswers(name, image, instances, strategy, latency, _ask_features(strategy))


def _ask_features(strategy: str) -> dict[str, Mapping[str, Any]]:
    """Ask what features have to ask, where the strategy has a first share that could show it."""
    if strategy not in _FIRST:
        return {}
    return {
        comment: sections
        for _, ask in features().hooks("spec_questions")
        for comment, sections in ask(_answer, _FIRST[strategy]).items()
    }


def _answer(question: str, default: str) -> str:
    """Ask a question and return what was typed, or the default if nothing was. The prompt goes to stderr. Raises
    Invalid if there is no terminal to answer."""
    print(f"{question} [{default}]: ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        print_note("")
        raise Invalid(f"nobody answers {question!r}: give --yes where there is no terminal")
    return line.strip() or default


def write_spec(answers: _InitAnswers, data: str) -> str:
    """The text of the spec file."""
    return (
        f"# Made by 'tidegate spec init'. 'tidegate spec schema' prints all that a spec may say.\n"
        f"endpoint: {answers.endpoint}\n"
        f"model:\n"
        f"  image: {answers.image}\n"
        f"  data: {_quote(data)}\n"
        f"instances: {answers.instances}\n"
        f"\n# How a new version gets its traffic.\n"
        f"rollout:\n{_ROLLOUTS[answers.strategy]}"
        f"\n# Any of these turns a rollout back.\n"
        f"alarms:\n"
        f"  errors: {{metric: Invocation5XXErrors, statistic: Average, above: 2%, period: 10s, periods: 3, "
        f"datapoints: 2}}\n"
        f"  slow: {{metric: ModelLatency, statistic: p99, above: {answers.latency}, period: 10s, periods: 3}}\n"
        + "".join(_write_sections(comment, sections) for comment, sections in answers.sections.items())
    )


def _write_sections(comment: str, sections: Mapping[str, Any]) -> str:
    texts = (
        yaml.safe_dump({key: value}, sort_keys=False, default_flow_style=None) for key, value in sections.items()
    )
    return f"\n# {comment}\n{''.join(texts)}"


def _quote(text: str) -> str:
    return text if re.fullmatch(r"[\w./:@-]+", text) else "'" + text.replace("'", "''") + "'"


def _relative(model: str, folder: Path) -> str:
    """A path as seen from the spec's folder; an address as it is."""
    if "://" in model or is_registry_address(model):
        return model
    found = os.path.relpath(Path(model).expanduser().absolute(), folder)
    tree = "/" if model.endswith("/") else ""
    return (found if found.startswith("..") else f"./{found}") + tree


def _write(path: Path, text: str, *, force: bool) -> None:
    if path.exists() and not force:
        raise Invalid(f"{path} is there already: choose another with --out, or replace it with --force")
    try:
        write_atomically(path, text.encode(), mode=0o666, durable=False)
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None
