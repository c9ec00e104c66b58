"""The demo's picture: both versions as they stand, live on a terminal, elsewhere a line for every change."""

import time
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from tidegate.cli.tables import Table, hang, key, number
from tidegate.features.examples.demo.cloud import EndpointState
from tidegate.load import LoadReport, Tally
from tidegate.load.report import merge

SPAN = 3
"""Whole seconds that rates and latencies are taken over."""
COLOURS = {"OK": "green", "ALARM": "bold red", "INSUFFICIENT_DATA": "dim"}
WIDTH = 48


@dataclass
class DemoView:
    console: Console
    _live: Live | None = None
    _said: tuple[str, ...] = ()
    _began: float = field(default_factory=time.monotonic)

    def __enter__(self) -> "DemoView":
        if self.console.is_terminal and not self.console.quiet:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        """A line with the seconds since the beginning, wrapped in a column of its own."""
        since = Text(f"{time.monotonic() - self._began:6.1f} s  ", style="dim")
        for line in hang(since, Text(text, style=style), self.console.width):
            self.console.print(line)

    def update(self, title: str, state: EndpointState, alarms: dict[str, str], report: LoadReport) -> None:
        """Show how the rollout stands. Each change is also said, but for the phases, which the picture shows."""
        if self._live is not None:
            self._live.update(render_picture(title, state, alarms, report))
        changes = describe(state, alarms)
        for line in changes:
            if line not in self._said:
                self.say(line)
        self._said = changes


def describe(state: EndpointState, alarms: dict[str, str]) -> tuple[str, ...]:
    """Return what there is to say about a rollout, a line for each fact."""
    lines = [f"alarm {name} fires" for name, value in alarms.items() if value == "ALARM"]
    if state.pending and state.share:
        lines.append(f"{state.share * 100:.0f} % of the requests go to {state.pending}")
    return tuple(lines)


def render_picture(title: str, state: EndpointState, alarms: dict[str, str], report: LoadReport) -> Panel:
    new = round(WIDTH * state.share)
    bar = Text.assemble(("█" * (WIDTH - new), "cyan"), ("█" * new, "magenta"), f"  {state.share:.0%} new")
    states = Text("  ").join(Text(f"{name} {value}", style=COLOURS[value]) for name, value in alarms.items())
    parts: list[Text | Table] = [
        bar,
        Text(state.phase or state.status),
        Text(),
        _tabulate(state, report),
        Text(),
        states,
    ]
    return Panel(Group(*parts), title=Text(title, style="bold"), title_align="left", padding=(1, 2))


def _tabulate(state: EndpointState, report: LoadReport) -> Table:
    table = Table(
        key("VERSION"),
        *(number(title) for title in ("WEIGHT", "REQUESTS/S", "P50", "P99", "ERRORS/S", "ANSWERED", "FAILED")),
    )
    now = int(time.time())
    recent = report.since(now - SPAN)
    seconds = [second for second in recent.seconds if second.at < now]
    for name, weight, colour in (
        (state.config, 1 - state.share, "cyan"),
        (state.pending, state.share, "magenta"),
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
