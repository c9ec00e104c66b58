"""The demo's picture: both fleets as they stand, on a terminal live, elsewhere a line for every change."""

import time
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.cloud import Standing
from tidegate.load import LoadReport, Tally
from tidegate.load.report import merge

SPAN = 3
"""Whole seconds that rates and latencies are taken over."""
COLOURS = {"OK": "green", "ALARM": "bold red", "INSUFFICIENT_DATA": "dim"}
WIDTH = 48


@dataclass
class View:
    console: Console
    _live: Live | None = None
    _said: str = ""
    _began: float = field(default_factory=time.monotonic)

    def __enter__(self) -> "View":
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        since = f"{time.monotonic() - self._began:6.1f} s  "
        self.console.print(Text.assemble((since, "dim"), (text, style)), soft_wrap=self._live is None)

    def update(self, title: str, standing: Standing, alarms: dict[str, str], report: LoadReport) -> None:
        if self._live is not None:
            self._live.update(picture(title, standing, alarms, report))
        line = f"{standing.share:4.0%} on the new version   {standing.phase or standing.status}"
        fired = [name for name, state in alarms.items() if state == "ALARM"]
        line += f"   ALARM {', '.join(fired)}" if fired else ""
        if self._live is None and line != self._said:
            self.say(line)
        self._said = line


def picture(title: str, standing: Standing, alarms: dict[str, str], report: LoadReport) -> Panel:
    new = round(WIDTH * standing.share)
    bar = Text.assemble(("█" * (WIDTH - new), "cyan"), ("█" * new, "magenta"), f"  {standing.share:.0%} new")
    states = Text("  ").join(Text(f"{name} {state}", style=COLOURS[state]) for name, state in alarms.items())
    parts: list[Text | Table] = [
        bar,
        Text(standing.phase or standing.status),
        Text(),
        fleets(standing, report),
        Text(),
        states,
    ]
    return Panel(Group(*parts), title=Text(title, style="bold"), title_align="left", padding=(1, 2))


def fleets(standing: Standing, report: LoadReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("VERSION")
    for column in ("WEIGHT", "REQUESTS/S", "P50", "P99", "ERRORS/S", "ANSWERED", "FAILED"):
        table.add_column(column, justify="right")
    now = int(time.time())
    recent = report.since(now - SPAN)
    seconds = [second for second in recent.seconds if second.at < now]
    for name, weight, colour in (
        (standing.config, 1 - standing.share, "cyan"),
        (standing.pending, standing.share, "magenta"),
    ):
        if name is None:
            continue
        span = merge(second.by_config[name] for second in seconds if name in second.by_config)
        whole = report.by_config.get(name, Tally())
        table.add_row(
            Text(name, style=colour),
            f"{weight:.0%}",
            f"{span.count / SPAN:.0f}",
            milliseconds(span.percentile(50)),
            milliseconds(span.percentile(99)),
            Text(f"{span.failed / SPAN:.1f}", style="bold red" if span.failed else ""),
            f"{whole.count:,}",
            f"{whole.failed:,}",
        )
    return table


def milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
