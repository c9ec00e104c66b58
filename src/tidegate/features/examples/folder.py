"""An example's folder: model data of three versions, a spec for each, requests, a card of their quality."""

import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.features.examples.catalogue import Example
from tidegate.features.examples.contract import TEXT, VERSIONS, SampleRequest, TrainedExample
from tidegate.features.planner import planning as planner
from tidegate.features.planner.models import with_models
from tidegate.host.late_import import load
from tidegate.prices import Catalogue
from tidegate.spec.units import duration

SUMMARY = "example.json"
REQUESTS = "requests.jsonl"
CARD = "card.md"
CLIENT = "client.py"
TABLE = "rows.csv"
TAG = "tidegate:example"
"""Of endpoints that are examples, so that no other one of the same name is taken for one."""
PERIODS = (5, 10, 20, 30)
"""Periods of alarms in seconds, below whole minutes; in a shorter one a percentile says little."""
PACKAGES = ("numpy", "xgboost", "lightgbm", "sklearn", "skops", "PIL", "matplotlib", "xllamacpp")
NOTE = {
    "moved": "`moved` is the part of predictions that crossed a quantile (5, 25, 50, 75, 95 %) of the version that "
    "serves before: what a rollout with `evidence: {compare: [predictions]}` holds against its tolerance.",
    "lengths moved": "`lengths moved` is the same of the answers' lengths, in tokens.",
}


def make_example(
    example: Example,
    folder: Path,
    prices: Catalogue,
    *,
    speed: float = 1,
    scale: float = 1,
    outputs: Path = Path("outputs"),
    adapt: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> None:
    """Train an example and write everything, or only the specs (and a client that is missing) where it is trained
    already. ``speed`` divides the times of a rollout, ``scale`` multiplies the rows that it is trained on;
    asynchronous answers go below ``outputs``; ``adapt`` changes each spec before it is written. An example that is
    cut short leaves nothing."""
    folder = folder.absolute()  # builders make links, and start programs elsewhere
    if not is_example(example, folder):
        if folder.exists():
            raise Invalid(f"{folder} exists and is not this example's: choose another --folder")
        _train(example, folder, scale)
    _write_specs(example, folder, prices, speed, outputs, adapt)


def is_example(example: Example, folder: Path) -> bool:
    """Whether the folder is one that ``make_example`` wrote for this example."""
    try:
        return bool(read_summary(folder)["name"] == example.name)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    return found


def read_requests(folder: Path) -> list[SampleRequest]:
    return [SampleRequest(**json.loads(line)) for line in (folder / REQUESTS).read_text().splitlines()]


def is_batch(example: Example, prices: Catalogue) -> bool:
    return planner.plan(_answers(example), prices).place.mode == "batch"


def _train(example: Example, folder: Path, scale: float) -> None:
    build = load_builder(example)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{example.name}-", dir=folder.parent))
    try:
        trained: TrainedExample = build(partial, scale)
        (partial / REQUESTS).write_text("".join(f"{json.dumps(asdict(one))}\n" for one in trained.requests))
        (partial / CARD).write_text(_render_card(example, trained))
        if trained.table:
            (partial / TABLE).write_text("".join(f"{line}\n" for line in trained.table))
        summary = {**asdict(trained), "requests": len(trained.requests), "name": example.name}
        del summary["table"]
        (partial / SUMMARY).write_text(json.dumps(summary, indent=2))
        partial.chmod(0o755)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def load_builder(example: Example) -> Callable[[Path, float], TrainedExample]:
    """Load the function that trains an example. Raises Invalid for a package, a program or weights that are not
    installed."""
    try:
        build: Callable[[Path, float], TrainedExample] = load(
            f"tidegate.features.examples.{example.module}", "build"
        )
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in PACKAGES:
            raise
        raise Invalid(
            f"example {example.name} needs a package that is not installed ({missing.name}): "
            f"pip install 'tidegate[{example.extra}]'"
        ) from None
    for program, install in example.programs.items():
        if shutil.which(program) is None:
            raise Invalid(f"example {example.name} needs the program {program}, which is not installed: {install}")
    return build


def check_server(example: Example, trust: Collection[str]) -> None:
    """Check that the server allows what the example's models do. Raises Invalid if it does not. ``trust``: what it
    allows."""
    if lacking := sorted(example.trust.difference(trust)):
        raise Invalid(
            f"the models of example {example.name} have Python code, which the server does not run: start it with"
            f" TIDEGATE_TRUST={','.join(lacking)}"
        )


def _write_specs(
    example: Example,
    folder: Path,
    prices: Catalogue,
    speed: float,
    outputs: Path,
    adapt: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    """Write the client, and ``v1.yaml``, ``better.yaml`` and ``worse.yaml``: the plan's spec with each version's
    data."""
    if speed < 1:
        raise Invalid(f"speed {speed:g}: expected 1 or more")
    summary = read_summary(folder)
    environment: dict[str, str] = summary.get("environment") or {}  # a folder of an earlier version has none
    if not (folder / CLIENT).exists():
        client = files("tidegate.features.examples.clients").joinpath(f"{example.client}.py")
        (folder / CLIENT).write_text(client.read_text())
    made = planner.plan(_answers(example), prices)
    for version in VERSIONS:
        data = [_address(folder, text) for text in summary["versions"][version]["data"]]
        spec = with_models(made.spec, data)
        for one in spec.get("pipeline", ()) if environment else ():
            one["environment"] = dict(environment)
        if "async" in spec:
            answers = f"{outputs.absolute().as_uri()}/{example.name}"
            spec["async"] = {**spec["async"], "output": f"{answers}/", "failure": f"{answers}-failed/"}
        if version == "worse" and summary["evidence"] == TEXT:
            spec["evidence"] = {"compare": ["errors", "text"]}
        elif version == "worse" and summary["evidence"]:
            # Its author says that it is a mere retraining, so its predictions should hardly move.
            spec["evidence"] = {
                "compare": ["errors", "latency", "predictions"],
                "tolerance": {"predictions": summary["evidence"]},
            }
        spec["tags"] = {**spec["tags"], TAG: example.name}
        spec = {key: spec[key] for key in sorted(spec, key=_place)}
        text = planner.render_spec(made, adapt(_speed_up(spec, speed)))
        head = f"# {example.title}: {summary['versions'][version]['about']}.\n"
        fast = "" if speed == 1 else f"# Times of rollout and alarms are divided by {speed:g}.\n"
        (folder / f"{version}.yaml").write_text(head + fast + text)


def _place(key: str) -> int:
    return {"alarms": 1, "tags": 2}.get(key, 0)


def _address(folder: Path, text: str) -> str:
    name, mark, path = text.rpartition("=")
    end = "/" if path.endswith("/") else ""
    return f"{name}{mark}{(folder / path).absolute().as_uri()}{end}"


def _speed_up(spec: Mapping[str, Any], speed: float) -> dict[str, Any]:
    rollout = {
        key: f"{max(1, round(duration(value, ()) / speed))}s" if key in ("wait", "final_bake") else value
        for key, value in spec.get("rollout", {}).items()
    }
    alarms = {
        name: {**one, "period": _period(one["period"], speed)} for name, one in spec.get("alarms", {}).items()
    }
    changed: dict[str, Any] = {"rollout": rollout, "alarms": alarms} if speed != 1 else {}
    return {key: changed.get(key, value) for key, value in spec.items()}


def _period(text: str, speed: float) -> str:
    """Return the longest period that an alarm may have, up to the shortened one; 5 seconds at least."""
    wanted = duration(text, ()) / speed
    if wanted >= 60:
        return f"{wanted // 60:g}m"
    return f"{max((one for one in PERIODS if one <= wanted), default=PERIODS[0])}s"


def _answers(example: Example) -> planner.PlanAnswers:
    return planner.example(example.name) if example.answers is None else planner.read(dict(example.answers))


def _render_card(example: Example, trained: TrainedExample) -> str:
    measures = list(dict.fromkeys(key for one in trained.versions.values() for key in one.quality))
    lines = [
        f"# {example.title}",
        "",
        f"An example to deploy and to break: {example.shows}. It is no model to decide about people with: the data "
        "are not real.",
        "",
        f"Measured on {trained.rows}.",
        "",
        f"| Version | {' | '.join(measures)} | What it is |",
        f"|---|{'---:|' * len(measures)}---|",
    ]
    for name, version in trained.versions.items():
        values = [f"{version.quality[key]:.3f}" if key in version.quality else "" for key in measures]
        lines.append(f"| {name} | {' | '.join(values)} | {version.about} |")
    lines += ["", f"Versions are ranked by {trained.measure}; higher is better.", ""]
    lines += [f"{text}\n" for key, text in NOTE.items() if key in measures]
    return "\n".join([*lines, _describe_detection(trained), ""])


def _describe_detection(trained: TrainedExample) -> str:
    if trained.evidence == TEXT:
        return (
            "The rollout of `worse` compares texts, their length among others; nobody reads whether they are true."
        )
    if trained.evidence:
        return f"The rollout of `worse` compares predictions and allows {trained.evidence} of them to move."
    unseen = "The rollout of `worse` does not see it: nothing fails, and nothing is slower."
    return f"{unseen} `tidegate compare` with `rows.csv` does, before any traffic." if trained.table else unseen
