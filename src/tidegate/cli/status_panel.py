"""An endpoint in full: its rollout, fleets, scaling, alarms, and what happened last."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, Group
from rich.panel import Panel
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.describe_rollout import format_share
from tidegate.cli.tables import Table

ACTIVITY_SECONDS = 5
"""Time span in seconds for rates and latencies."""


@dataclass(frozen=True)
class _EventLines:
    """Events as wide as the panel."""

    events: Sequence[Mapping[str, Any]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        for event in self.events:
            yield from draw.event_lines(event, options.max_width)


@dataclass(frozen=True)
class _Detail:
    """How much of an endpoint a live panel shows. ``brief``: a line for each fleet, for the alarms, for an event."""

    events: int
    scaling: bool = True
    brief: bool = False


_DETAILS = (
    *(_Detail(count) for count in (8, 5, 3, 2)),
    *(_Detail(count, scaling=False) for count in (3, 2, 1)),
    *(_Detail(count, scaling=False, brief=True) for count in (8, 5, 3, 2, 1, 0)),
)
"""From all to the least."""


def fit_status(
    document: dict[str, Any], live: list[dict[str, Any]], events: list[dict[str, Any]], console: Console
) -> Panel:
    """A panel that is no higher than the terminal: a live one cannot be scrolled."""
    for detail in _DETAILS:
        made = _render_live(document, live, events, detail)
        if len(console.render_lines(made)) < console.height:
            break
    return made


def _render_live(
    document: dict[str, Any], live: list[dict[str, Any]], events: list[dict[str, Any]], detail: _Detail
) -> Panel:
    shown = events[-detail.events :] if detail.events else []
    if not detail.brief:
        given = document if detail.scaling else {**document, "scaling": []}
        found = render_status(given, live, shown, boxed=True)
        assert isinstance(found, Panel)
        return found
    rates = {(one["config"], one["variant"]): one["rate"] for one in live}
    parts: list[Text] = []
    for fleet in document["fleets"]:
        rate = rates.get((fleet["config"], fleet["variant"]))
        busy = "" if rate is None else f", {rate:,.0f}/s"
        name = Text(f"{fleet['side']} {fleet['variant']}", draw.NEW if fleet["side"] == "new" else draw.OLD)
        parts.append(
            name + f" {format_share(fleet['share'], fleet)}, {fleet['ready']}/{fleet['desired']} ready{busy}"
        )
        parts += [Text(fleet["failure"], "red")] if fleet["failure"] else []
        parts += [Text(fleet["problem"], "yellow")] if fleet.get("problem") and not fleet["failure"] else []
    states = Counter(alarm["state"] for alarm in document["alarms"])
    if states:
        counts = (Text.assemble(f"{count} ", draw.status_text(state)) for state, count in sorted(states.items()))
        parts.append(Text("alarms: ") + Text(", ").join(counts))
    parts += [Text(f"{draw.format_clock(one['at'])} {one['message']}", "dim") for one in shown]
    rollout = document["rollout"]
    head = [] if rollout is None else _describe_rollout(rollout, bar=False)
    why = [Text(document["why"])] if document["why"] else []
    body = Group(draw.status_text(document["status"]), *head, *map(_join_lines, parts), *why)
    return Panel(body, title=Text(document["name"], "bold"), title_align="left")


def _join_lines(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _title(document: dict[str, Any]) -> Text:
    return Text.assemble((document["name"], "bold"), "  ", draw.status_text(document["status"]))


def render_status(
    document: dict[str, Any], live: list[dict[str, Any]], events: list[dict[str, Any]], *, boxed: bool
) -> Panel | Group:
    """Render an endpoint during a rollout (or at rest): in a box on a terminal, plain in a pipe."""
    parts: list[Table | Text | _EventLines] = []
    rollout = document["rollout"]
    if rollout is not None:
        parts += [*_describe_rollout(rollout, bar=boxed), Text()]
    parts.append(draw.fleet_table(document, live))
    if several := draw.architecture_table(document):
        parts += [Text(), several]
    if document.get("scaling"):
        parts += [Text(), draw.scaling_table(document["scaling"])]
    if capture := document.get("capture"):
        redacted = ", redacted" if capture["redacted"] else ""
        parts += [Text(), Text(f"captured: {capture['percent']} % to {capture['destination']}{redacted}")]
    if document["alarms"]:
        parts += [Text(), draw.alarm_table(document["alarms"])]
    if signals := document.get("signals"):
        parts += [Text(), draw.signal_table(signals)]
    if registry := document.get("registry"):
        parts += [Text(), *_describe_registry(registry)]
    if events:
        parts += [Text(), _EventLines(events)]
    told = (*(str(event["message"]) for event in events), "" if rollout is None else rollout["reason"] or "")
    if document["why"] and not _is_told(document["why"], told):
        parts += [Text(), Text(document["why"])]
    title = _title(document)
    if not boxed:
        return Group(title, Text(), *parts)
    return Panel(Group(*parts), title=title, title_align="left", padding=(1, 2))


def _describe_registry(registry: Mapping[str, Any]) -> Iterator[Text]:
    """Describe where the versions came from, and what is in the way of the newest one."""
    for role, known in (("serving", registry["serving"]), ("rolling out", registry["rolling_out"])):
        if known is not None:
            metrics = (f"{name} {value:g}" for name, value in sorted(known["metrics"].items()))
            told = (("run", known["run"]), ("commit", known["commit"][:12]), ("data", ", ".join(known["data"])))
            facts = (*(f"{key} {value}" for key, value in told if value), *metrics)
            yield Text(f"{role}: {', '.join((known['version'], *facts))}")
    if registry["follows"]:
        yield Text(f"follows {registry['follows']}")
    if registry["note"]:
        yield Text(registry["note"], "yellow")


def _is_told(why: str, told: Iterable[str]) -> bool:
    """Whether the cause in the sentence ``why`` is among these already: a rollback is told once."""
    cause = (why.partition(": ")[2] or why).rstrip(".")
    return any(cause in text for text in told)


def _describe_rollout(rollout: dict[str, Any], *, bar: bool) -> list[Text]:
    share = rollout["share"]
    phase = "Holdback" if rollout.get("holdback") else rollout["phase"]
    where = f"{phase}, stage {rollout['stage']} of {rollout['stages']}"
    baking = f", {draw.format_time_left(rollout['bake_until'])} of the bake left" if rollout["bake_until"] else ""
    paused = f"  paused by {rollout['paused']['by']}" if rollout["paused"] else ""
    following = f"  next {share['next']:g} %" if share["next"] is not None else ""
    parts: list[Text] = [
        Text.assemble((rollout["from"] or "(nothing)", draw.OLD), " -> ", (rollout["to"], draw.NEW)),
        Text.assemble(
            draw.traffic_bar(share["now"]) if bar else "",
            "  " if bar else "",
            f"{format_share(share['now'], share)} new{following}",
        ),
        Text.assemble(where, baking, (paused, "bold yellow")),
    ]
    if rollout["reason"]:
        parts.append(Text(rollout["reason"], style="bold red"))
    parts += [
        Text(f"{one['type']}: {one['message']}", style="yellow")
        for one in rollout["conditions"]
        if one["status"] and one["message"]
    ]
    return parts
