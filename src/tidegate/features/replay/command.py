"""``replay``: sends recorded or generated traffic to an endpoint."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tidegate.cli import plot_files
from tidegate.cli.client import ApiClient
from tidegate.cli.draw import format_number
from tidegate.cli.output import AsJson, client, complete_endpoint, console, print_note, show
from tidegate.cli.plain_parameters import PlainGroup
from tidegate.cli.plot_shapes import CurvePlot, hold, round_up
from tidegate.domain.errors import Invalid, TidegateError
from tidegate.load import LoadGenerator, LoadReport, shapes
from tidegate.load import history as told
from tidegate.load import trace as traces
from tidegate.load.open_loop import read_payloads

POLL_EVERY = 1.0
TIMEOUT = 70.0
"""Timeout of a request in seconds; longer than the server's own limit, so that its answer arrives."""

app = typer.Typer(cls=PlainGroup, no_args_is_help=True, rich_markup_mode=None, help="Make a trace to replay.")
Out = Annotated[Path, typer.Option("--out", help="The file to write (CSV: at,count).")]
Days = Annotated[int, typer.Option(help="Number of days.")]
Interval = Annotated[float, typer.Option(help="Seconds per line.")]
Seed = Annotated[int, typer.Option(help="Random seed; the same seed gives the same trace.")]


@app.command("december")
def december(
    out: Out,
    *,
    base: Annotated[float, typer.Option(help="Requests per second in the quietest hour.")] = 5.0,
    peak: Annotated[float, typer.Option(help="The busiest minute, as a multiple of that.")] = 10.0,
    first: Annotated[int, typer.Option(help="First day, in December.")] = 1,
    days: Days = 31,
    interval: Interval = 60.0,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Make a trace of a December with its peak: day and night, pay days, the days before the holidays.

    docs/replay.md has the formula.

    \b
    Examples:
      tidegate replay trace december --out december.csv
      tidegate replay trace december --out peak.csv --first 22 --days 2 --base 20
    """
    made = shapes.december(base, peak, first=first, days=days, interval=interval, seed=seed)
    said = (
        f"tidegate replay trace december: base {base:g}/s, peak x{peak:g}, {days} days from December {first},"
        f" seed {seed}"
    )
    _write_trace(out, made, said, as_json)


@app.command("bank-calls")
def bank_calls(
    out: Out,
    mean: Annotated[float, typer.Option(help="Mean requests per second in business hours.")] = 10.0,
    days: Days = 7,
    interval: Interval = 60.0,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Make a trace of the working week of a real bank: calls by weekday and hour.

    Hourly means computed from the series bank_calls (Weinberg, Brown and Stroud 2007); see docs/replay.md.

    \b
    Examples:
      tidegate replay trace bank-calls --out week.csv
      tidegate replay trace bank-calls --out monday.csv --days 1 --mean 50
    """
    made = shapes.bank_calls(mean, days=days, interval=interval, seed=seed)
    _write_trace(
        out,
        made,
        f"tidegate replay trace bank-calls: mean {mean:g}/s, {days} days from a Monday, seed {seed}",
        as_json,
    )


def _write_trace(out: Path, made: traces.Trace, said: str, as_json: bool) -> None:
    traces.write(out, made, [said])
    rates = [count / width for _, width, count in made.spans()]
    document = {
        "trace": str(out),
        "requests": int(made.requests),
        "seconds": made.seconds,
        "lowest_rate": round(min(rates), 3),
        "highest_rate": round(max(rates), 3),
    }
    least, most = (f"{rate:,.1f}" if rate >= 10 else f"{rate:.2g}" for rate in (min(rates), max(rates)))
    spread = f"{least} to {most}/s"
    show(document, as_json, f"{out}: {made.requests:,.0f} requests in {made.seconds / 3600:g} h, {spread}")


def replay(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="CSV with the column at, or at and count.")],
    endpoint: Annotated[
        str, typer.Option("--endpoint", help="Name of the endpoint.", autocompletion=complete_endpoint)
    ],
    payloads: Annotated[
        Path, typer.Option("--payloads", help="Bodies to send in random order, one per line: JSON Lines or CSV.")
    ],
    *,
    content_type: Annotated[
        str | None, typer.Option(help="Type of the bodies; default: by the file's name.")
    ] = None,
    header: Annotated[list[str] | None, typer.Option(help="Header of each request, NAME:VALUE.")] = None,
    speed: Annotated[float, typer.Option(help="Time factor; 60 replays an hour in a minute.")] = 1.0,
    scale: Annotated[float, typer.Option(help="Requests per request of the trace.")] = 1.0,
    connections: Annotated[int, typer.Option(help="Maximum number of open connections.")] = 256,
    plot: Annotated[list[Path] | None, typer.Option(help="Plot: .html, .svg or .png. Repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send a trace to an endpoint and report the answers.

    Requests are sent when they are due, whether or not earlier ones have been answered, and their latency counts from
    then (no coordinated omission). Ctrl-C ends it early with a report so far. Errors of the model are part of the
    report: the exit status is 1 only if the replay itself failed.

    \b
    Examples:
      tidegate replay run trace.csv --endpoint fraud --payloads rows.csv
      tidegate replay run december.csv --endpoint fraud --payloads rows.csv --speed 3600 --plot december.html
    """
    for path in plot or ():
        plot_files.check_path(path)
    asked = traces.read(trace)
    bodies, kind = read_payloads(payloads, content_type)
    headers = {"Content-Type": kind, **_parse_headers(header or [])}
    with client() as server:
        server.endpoint(endpoint)
        moments = traces.arrivals(asked, speed, scale)
        generator = _make_generator(server, endpoint, bodies, headers, moments, connections)
        report, instances = _run(server, endpoint, generator, asked.requests * scale, quiet=as_json)
    document = {"endpoint": endpoint, "trace": str(trace), **told.document(report, instances)}
    for path in plot or ():
        plot_files.write_plot(path, f"{trace.name} on {endpoint}", _make_plots(document), _list_facts(document))
        print_note(f"plot written to {path}")
    show(document, as_json, "\n".join(f"{name:10} {value}" for name, value in _list_facts(document)))


def _make_generator(
    server: ApiClient,
    endpoint: str,
    bodies: Sequence[bytes],
    headers: Mapping[str, str],
    moments: Iterator[float],
    connections: int,
) -> LoadGenerator:
    return LoadGenerator(
        server.url,
        f"/endpoints/{endpoint}/invocations",
        bodies,
        headers,
        None,
        connections=connections,
        timeout=TIMEOUT,
        schedule=moments,
        sign=server.make_signer(endpoint, headers),
    )


def _run(
    server: ApiClient, endpoint: str, generator: LoadGenerator, expected: float, quiet: bool
) -> tuple[LoadReport, dict[int, int]]:
    instances: dict[int, int] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    on_screen = not quiet and sys.stdout.isatty()
    with Progress(*columns, TimeElapsedColumn(), console=console(), disable=not on_screen) as bar:
        task = bar.add_task(endpoint, total=expected or None, said="")
        generator.start()
        try:
            while True:
                ready = _count_ready(server, endpoint)
                if ready is not None:
                    instances[int(time.time())] = ready
                now = generator.snapshot()
                bar.update(task, completed=now.sent, said=_format_progress(now, ready))
                if generator.exhausted:
                    break
                time.sleep(POLL_EVERY)
        except KeyboardInterrupt:
            print_note("ended early")
        return generator.stop(grace=30.0), instances


def _count_ready(server: ApiClient, endpoint: str) -> int | None:
    """Number of ready instances; None if the server does not answer in time."""
    try:
        fleets = server.endpoint(endpoint)["fleets"]
    except TidegateError:
        return None
    return sum(int(fleet["ready"]) for fleet in fleets if fleet["copies"] is None)


def _format_progress(now: LoadReport, ready: int | None) -> str:
    last = now.seconds[-2:-1]
    tail = told.points(LoadReport(tuple(last), (), 0, 0), {})
    p99 = tail[0].p99_ms if tail else None
    rate = tail[0].rate if tail else 0.0
    return f"{rate:,.0f}/s, p99 {format_number(p99, 1, ' ms')}, {now.failed:,} failed, {ready or '-'} instances"


def _parse_headers(given: list[str]) -> Mapping[str, str]:
    found = {}
    for each in given:
        name, colon, value = each.partition(":")
        if not colon or not name.strip():
            raise Invalid(f"--header {each!r}: expected NAME:VALUE")
        found[name.strip()] = value.strip()
    return found


def _make_plots(document: Mapping[str, Any]) -> list[CurvePlot]:
    points: list[dict[str, Any]] = document["points"]

    def plot(title: str, *lines: tuple[str, str]) -> CurvePlot:
        curves = [(name, [(point["at"], point[key]) for point in points]) for name, key in lines]
        top = round_up(point[key] for point in points for _, key in lines)
        return CurvePlot(title, "seconds", "", curves, top)

    instances = plot("Instances", ("ready", "instances"))
    return [
        plot("Requests per second", ("due", "rate"), ("answered", "answered")),
        replace(instances, curves=[(name, hold(points)) for name, points in instances.curves]),
        plot("Latency from when a request was due, ms", ("p50", "p50_ms"), ("p99", "p99_ms")),
        plot(
            "Failed, per second",
            *(("refused (503)", "refused"), ("errors", "errors"), ("throttled (429)", "throttled")),
        ),
    ]


def _list_facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    seconds = document["seconds"]
    rate = document["sent"] / seconds if seconds else 0.0
    latencies = ", ".join(
        f"{name} {format_number(document[f'{name}_ms'], 1)}" for name in ("p50", "p90", "p99", "max")
    )
    fewest, most = document["fewest_instances"], document["most_instances"]
    return [
        ("sent", f"{document['sent']:,} in {seconds:,} s, {rate:,.1f}/s, {document['busiest_second']:,} at most"),
        ("answered", f"{document['answered']:,}"),
        ("failed", f"{document['failed']:,} ({_format_statuses(document['statuses'])})"),
        ("latency", f"ms: {latencies}"),
        (
            "instances",
            "not known" if most is None else f"{fewest} to {most}, {document['instance_seconds']:,} s in total",
        ),
    ]


def _format_statuses(statuses: Mapping[str, int]) -> str:
    bad = {status: count for status, count in sorted(statuses.items()) if not status.startswith("2")}
    return ", ".join(f"{status}: {count:,}" for status, count in bad.items()) or "none"
