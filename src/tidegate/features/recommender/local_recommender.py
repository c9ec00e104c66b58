"""``recommend`` on this machine: starts a private server, load-tests one configuration after the other, and prints
the result."""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.output import console, plot_width
from tidegate.cli.tables import Table, number
from tidegate.domain.errors import Invalid
from tidegate.features.recommender import load_runs
from tidegate.features.recommender.carrier_table import CARRIERS, carrier_row
from tidegate.features.recommender.configurations import LoadProbe, MeasuredConfiguration, Objective, candidates
from tidegate.features.recommender.estimates import HEADROOM, Offer, offers
from tidegate.features.recommender.load_runs import LoadEnvironment
from tidegate.features.recommender.search import Effort, search
from tidegate.prices import Catalogue, price_folder
from tidegate.settings import Settings

MAX_SHOWN = 8
BAR_WIDTH, BESIDE = 40, 26
SEARCH_SHARE = 0.9
"""Fraction of the budget after which no further configuration is tried."""


@dataclass(frozen=True)
class LocalRequest:
    """A recommendation to compute. ``model`` as in a spec, ``bodies`` of its requests, the required ``rate`` per
    second, ``budget`` in seconds."""

    model: dict[str, Any]
    bodies: Sequence[bytes]
    content_type: str
    objective: Objective
    rate: float
    budget: float
    effort: Effort


def recommend_local(wanted: LocalRequest, region: str, *, as_json: bool) -> None:
    """Raises Invalid if no configuration meets the objective."""
    objective = wanted.objective
    ground = LoadEnvironment(wanted.model, wanted.bodies, wanted.content_type, objective)
    settings = Settings.from_environment(os.environ)
    catalogue = Catalogue.load(price_folder(settings.prices, settings.state))
    began = time.monotonic()
    trials = _search(ground, wanted.rate, wanted.effort, began + wanted.budget * SEARCH_SHARE, quiet=as_json)
    best = trials[0]
    probe = _best_probe(best, objective)
    found = offers(best.candidate, probe, load_runs.cores(), wanted.rate, catalogue, region)
    if as_json:
        print(json.dumps(_document(best, probe, trials, found, objective, time.monotonic() - began)))
    else:
        _show(best, probe, trials, found, objective)


def _search(
    ground: LoadEnvironment, rate: float, effort: Effort, until: float, *, quiet: bool
) -> list[MeasuredConfiguration]:
    space = candidates(load_runs.cores())
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(), disable=quiet or not sys.stdout.isatty()) as bar:
        task = bar.add_task("starting", total=len(space) + effort.looks)
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


def _best_probe(best: MeasuredConfiguration, objective: Objective) -> LoadProbe:
    probe = best.best(objective)
    if probe is None:
        nearest = min(p.latency for p in best.probes)
        raise Invalid(
            f"no configuration of this machine achieves {objective}; the closest was {nearest * 1000:.1f} ms"
            f" ({best.candidate}): allow more time, or make the model faster"
        )
    return probe


def _document(
    best: MeasuredConfiguration,
    probe: LoadProbe,
    trials: Sequence[MeasuredConfiguration],
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
    best: MeasuredConfiguration,
    probe: LoadProbe,
    trials: Sequence[MeasuredConfiguration],
    found: Sequence[Offer],
    objective: Objective,
) -> None:
    out = console()
    out.print(Text.assemble(("Best here: ", "bold"), str(best.candidate)))
    out.print(
        f"{probe.rate:,.0f} requests/s with p{objective.percent:g} {probe.latency * 1000:.1f} ms,"
        f" {probe.cpu * 1e6:.0f} µs of CPU a request, {probe.memory / 2**20:,.0f} MiB a worker"
    )
    out.print()
    _print_curve(best, objective)
    out.print()
    shown = Table(*CARRIERS)
    for offer in found[:MAX_SHOWN]:
        shown.add_row(*carrier_row(offer))
    out.print(shown)
    out.print()
    out.print(
        "Assumed: a vCPU is as fast as a core of this machine, with as many workers on it, and as busy as here while"
        f" the objective was met; autoscaling keeps an instance at {HEADROOM:.0%} of its capacity."
    )
    others = [(str(trial.candidate), trial.score(objective)) for trial in trials[1:] if trial.score(objective)]
    for name, score in others[:3]:
        out.print(Text(f"Next: {name}, {score:,.0f} requests/s a core", style="dim"))


def _print_curve(best: MeasuredConfiguration, objective: Objective) -> None:
    """Print latency against rate, as far as it was measured."""
    out = console()
    points = sorted({(probe.rate, min(probe.latency, 10 * objective.seconds)) for probe in best.probes})
    top = max(latency for _, latency in points)
    out.print(f"p{objective.percent:g} against requests/s (limit {objective.seconds * 1000:g} ms)")
    width = plot_width(out, BAR_WIDTH, BESIDE)
    if width is None:
        shown = Table(*map(number, ("REQUESTS/S", "LATENCY MS")))
        for rate, latency in points:
            shown.add_row(f"{rate:,.0f}", f"{latency * 1000:,.1f}")
        out.print(shown)
        return
    for rate, latency in points:
        filled = max(1, round(width * latency / top))
        style = draw.NEW if latency <= objective.seconds else "red"
        out.print(Text.assemble(f"{rate:>10,.0f}/s ", ("█" * filled, style), f" {latency * 1000:,.1f} ms"))
