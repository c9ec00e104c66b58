"""``recommend``: real loads on this machine, and what they mean for each instance type."""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.output import AsJson, console
from tidegate.load.payloads import read
from tidegate.model.errors import Invalid
from tidegate.prices import Catalogue
from tidegate.recommend import running
from tidegate.recommend.offers import HEADROOM, Offer, offers
from tidegate.recommend.running import Ground
from tidegate.recommend.search import Effort, search
from tidegate.recommend.space import Objective, Probe, Trial, candidates
from tidegate.settings import Settings
from tidegate.spec.units import duration

SHOWN = 8
BAR = 40


def recommend(
    *,
    model: Annotated[str, typer.Option(metavar="DATA", help="Model data: a path, file:// or s3://.")],
    sample: Annotated[Path, typer.Option(metavar="FILE", help="Bodies to send, one a line: JSON Lines or CSV.")],
    slo: Annotated[str, typer.Option(metavar="pNN=TIME", help="Such as p99=50ms.")] = "p99=50ms",
    rps: Annotated[float, typer.Option(help="Requests per second that are to be carried.")] = 100.0,
    image: Annotated[str, typer.Option(help="What serves it.")] = "tidegate/auto",
    budget: Annotated[str, typer.Option(help="When to stop looking.")] = "5m",
    seconds: Annotated[float, typer.Option(help="Of one load in the first rounds.")] = 1.5,
    region: Annotated[str, typer.Option(help="Whose prices.")] = "us-east-1",
    content_type: Annotated[
        str | None, typer.Option(help="Of the bodies; by the file's name when left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the configuration that serves a model at the lowest cost, by loading it for real.

    A private server on this machine serves the model in one configuration after the other (instances, threads, batch
    size) under an open-loop load. Few loads are enough: the better half goes on, then the best two. The result is
    scaled to instance types by the CPU time and memory that were measured.

    \b
    Examples:
      tidegate recommend --model model.tar.gz --sample rows.csv --slo p99=50ms --rps 300
      tidegate recommend --model model.tar.gz --sample rows.jsonl --budget 2m --json
    """
    objective = _objective(slo)
    if not 0 < rps <= 1e6:
        raise Invalid(f"--rps {rps:g}: give a rate above 0 and up to a million")
    if not 0.2 <= seconds <= 60:
        raise Invalid(f"--seconds {seconds:g}: give 0.2 to 60")
    sent, kind = read(sample, content_type)
    ground = Ground({"image": image, "data": _address(model)}, sent, kind, objective)
    catalogue = Catalogue.load(Settings.from_environment(os.environ).prices)
    began = time.monotonic()
    effort = Effort(seconds, seconds, 2 * seconds)
    trials = _searched(ground, rps, effort, began + duration(budget, ("--budget",)), quiet=as_json)
    best = trials[0]
    probe = _held(best, objective, slo)
    found = offers(best.candidate, probe, running.cores(), rps, catalogue, region)
    if as_json:
        print(json.dumps(_document(best, probe, trials, found, objective, time.monotonic() - began)))
    else:
        _show(best, probe, trials, found, objective)


def _searched(ground: Ground, rate: float, effort: Effort, until: float, *, quiet: bool) -> list[Trial]:
    space = candidates(running.cores())
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(), disable=quiet or not sys.stdout.isatty()) as bar:
        task = bar.add_task("starting", total=len(space) + effort.kept + effort.finalists)
        with ground:
            return search(
                space,
                ground.measure,
                ground.objective,
                rate,
                effort,
                tell=lambda what: bar.update(task, description=what, advance=1),
                late=lambda: time.monotonic() > until,
            )


def _held(best: Trial, objective: Objective, slo: str) -> Probe:
    probe = best.best(objective)
    if probe is None:
        nearest = min(p.latency for p in best.probes)
        raise Invalid(
            f"no configuration of this machine answers {slo}; the nearest was {nearest * 1000:.1f} ms"
            f" ({best.candidate}): allow more time, or make the model faster"
        )
    return probe


def _objective(text: str) -> Objective:
    name, equals, limit = text.partition("=")
    try:
        percent = float(name.removeprefix("p"))
    except ValueError:
        percent = 0.0
    if not equals or not name.startswith("p") or not percent:
        raise Invalid(f"--slo {text!r}: expected something like p99=50ms")
    return Objective(percent, duration(limit, ("--slo",)))


def _address(model: str) -> str:
    """A path made absolute; anything else as it stands."""
    if "://" in model:
        return model
    path = Path(model)
    if not path.exists():
        raise Invalid(f"--model {model}: there is no such file or folder")
    return path.absolute().as_uri() + ("/" if path.is_dir() else "")


def _document(
    best: Trial,
    probe: Probe,
    trials: Sequence[Trial],
    found: Sequence[Offer],
    objective: Objective,
    seconds: float,
) -> dict[str, object]:
    return {
        "configuration": asdict(best.candidate),
        "environment": best.candidate.environment,
        "objective": asdict(objective),
        "highest_rate": probe.rate,
        "latency_ms": round(probe.latency * 1000, 3),
        "cpu_us": round(probe.cpu * 1e6, 1),
        "memory_bytes": probe.memory,
        "per_core": round(probe.per_core, 1),
        "headroom": HEADROOM,
        "offers": [asdict(offer) for offer in found],
        "trials": [
            {
                "configuration": asdict(trial.candidate),
                "per_core": round(trial.score(objective), 1),
                "probes": [asdict(each) for each in trial.probes],
            }
            for trial in trials
        ],
        "seconds": round(seconds, 1),
    }


def _show(
    best: Trial, probe: Probe, trials: Sequence[Trial], found: Sequence[Offer], objective: Objective
) -> None:
    out = console()
    out.print(Text.assemble(("Best here: ", "bold"), str(best.candidate)))
    out.print(
        f"{probe.rate:,.0f} requests/s with p{objective.percent:g} {probe.latency * 1000:.1f} ms,"
        f" {probe.cpu * 1e6:.0f} µs of CPU a request, {probe.memory / 2**20:,.0f} MiB a worker"
    )
    out.print()
    _curve(best, objective)
    out.print()
    shown = draw.table("INSTANCE TYPE", ">CARRIES", ">$ PER 1,000", ">INSTANCES", ">$ A MONTH", ">TARGET A MINUTE")
    for offer in found[:SHOWN]:
        shown.add_row(
            offer.instance_type,
            f"{offer.rate:,.0f}/s",
            f"{offer.per_thousand:.3g}",
            str(offer.instances),
            f"{offer.month:,.2f}",
            f"{offer.target:,}",
        )
    out.print(shown)
    out.print()
    out.print(
        "Assumed: a vCPU is as fast as a core of this machine, with as many workers to each, and as busy as here when"
        f" the objective held; autoscaling keeps an instance at {HEADROOM:.0%} of what it carries."
    )
    others = [(str(trial.candidate), trial.score(objective)) for trial in trials[1:] if trial.score(objective)]
    for name, score in others[:3]:
        out.print(Text(f"Next: {name}, {score:,.0f} requests/s a core", style="dim"))


def _curve(best: Trial, objective: Objective) -> None:
    """Latency against rate, as far as it was measured."""
    out = console()
    points = sorted({(probe.rate, min(probe.latency, 10 * objective.seconds)) for probe in best.probes})
    top = max(latency for _, latency in points)
    out.print(f"p{objective.percent:g} against requests/s (limit {objective.seconds * 1000:g} ms)")
    for rate, latency in points:
        filled = max(1, round(BAR * latency / top))
        style = draw.NEW if latency <= objective.seconds else "red"
        out.print(Text.assemble(f"{rate:>10,.0f}/s ", ("█" * filled, style), f" {latency * 1000:,.1f} ms"))
