"""Renders status documents as text: tables, bars, times."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from tidegate.cli.describe_rollout import format_share
from tidegate.cli.tables import Table, address, hang, key, number, secondary, sentence

Document = Mapping[str, Any]
STYLES = {
    "InService": "green",
    "OK": "green",
    "Succeeded": "green",
    "ALARM": "bold red",
    "Failed": "bold red",
    "RollbackFailed": "bold red",
    "UpdateRollbackFailed": "bold red",
    "RollingBack": "red",
    "RolledBack": "red",
    "INSUFFICIENT_DATA": "dim",
}
OLD, NEW = "cyan", "magenta"
NARROW = 48
"""Columns below which an event has the time of day only."""


def status_text(text: str) -> Text:
    return Text(text, style=STYLES.get(text, "yellow"))


def format_number(value: float | None, digits: int = 0, unit: str = "") -> str:
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def format_rate(rate: float) -> str:
    """Format a rate with all of its digits: ``0.204``, ``0.00002``."""
    return f"{rate:.10f}".rstrip("0").rstrip(".")


def each(unit: str) -> str:
    """``a GB``, ``an hour``."""
    return f"an {unit}" if unit.startswith(("hour", "LCU", "alarm")) else f"a {unit}"


def format_block(filled: float) -> str:
    """A block character filled to this fraction, in eighths."""
    return " ▁▂▃▄▅▆▇█"[max(0, min(8, round(filled * 8)))]


def format_duration(seconds: float) -> str:
    """Format as ``1h 05m``, ``2m 09s`` or ``9s``."""
    whole = max(0, round(seconds))
    if whole >= 86400:
        return f"{whole // 86400}d {whole % 86400 // 3600:02}h"
    if whole >= 3600:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 60}m {whole % 60:02}s" if whole >= 60 else f"{whole}s"


def format_elapsed(seconds: float) -> str:
    """Format as ``1:05:09``, with days in front if needed."""
    whole = round(seconds)
    days = f"{whole // 86400}d " if whole >= 86400 else ""
    return f"{days}{whole % 86400 // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"


def format_time_left(until: str | None, now: datetime | None = None) -> str:
    """Format the time left until an ISO time; empty for None."""
    if until is None:
        return ""
    return format_duration((datetime.fromisoformat(until) - (now or datetime.now(UTC))).total_seconds())


def format_span(seconds: float) -> str:
    """Format a span that somebody chose, without parts of zero: ``10s``, ``1h``, ``1m 30s``, ``7d``."""
    whole = round(seconds)
    if whole != seconds or whole == 0:
        return f"{seconds:g}s"
    parts = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
    said = []
    for size, unit in parts:
        if count := whole // size:
            said.append(f"{count}{unit}")
        whole %= size
    return " ".join(said)


def format_clock(iso: str) -> str:
    """The time of day here."""
    return datetime.fromisoformat(iso).astimezone().strftime("%H:%M:%S")


def format_time(iso: str) -> str:
    """Date and time here, as ISO 8601 has them, to the second."""
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def traffic_bar(new_percent: float, width: int = 40) -> Text:
    """A bar with old traffic on the left, new on the right."""
    new = round(width * new_percent / 100)
    if 0 < new_percent < 100:
        new = min(width - 1, max(1, new))
    return Text.assemble(("█" * (width - new), OLD), ("█" * new, NEW))


def endpoint_table(documents: Iterable[Document]) -> Table:
    shown = Table(
        key("ENDPOINT"),
        key("STATUS"),
        secondary("CONFIG"),
        number("INSTANCES"),
        key("ROLLOUT"),
        key("ALARMS"),
        sentence("WHY"),
    )
    for one in documents:
        ready = sum(fleet["ready"] for fleet in one["fleets"])
        desired = sum(fleet["desired"] for fleet in one["fleets"])
        shown.add_row(
            one["name"],
            status_text(one["status"]),
            one["config"] or "-",
            f"{ready}/{desired}",
            _format_progress(one["rollout"]),
            _worst_state(alarm["state"] for alarm in one["alarms"]),
            one["why"],
        )
    return shown


def _worst_state(states: Iterable[str]) -> Text:
    found = set(states)
    return status_text(next((state for state in ("ALARM", "INSUFFICIENT_DATA", "OK") if state in found), "-"))


def _format_progress(rollout: Document | None) -> str:
    if rollout is None:
        return "-"
    paused = ", paused" if rollout["paused"] else ""
    share = format_share(rollout["share"]["now"], rollout["share"])
    return f"{rollout['phase']} {rollout['stage']}/{rollout['stages']}, {share}{paused}"


def fleet_table(document: Document, live: Iterable[Document]) -> Table:
    """Each fleet: its traffic share, instances, and activity in the last seconds."""
    seconds = {(one["config"], one["variant"]): one for one in live}
    several = len({fleet["variant"] for fleet in document["fleets"]}) > 1
    shown = Table(
        key("FLEET"),
        secondary("CONFIG"),
        *map(number, ("SHARE", "READY", "REQ/S", "P50", "P99", "ERRORS/S")),
    )
    for fleet in document["fleets"]:
        found = seconds.get((fleet["config"], fleet["variant"]), {})
        new = fleet["side"] == "new"
        ready = f"{fleet['ready']}/{fleet['desired']}" + (f" +{fleet['draining']}" if fleet["draining"] else "")
        errors = found.get("errors_5xx", 0) + found.get("errors_4xx", 0)
        span = found["requests"] / found["rate"] if found.get("rate") else 1
        shown.add_row(
            Text(fleet["side"] + (f" {fleet['variant']}" if several else ""), style=NEW if new else OLD),
            fleet["config"] or "-",
            format_share(fleet["share"], fleet)
            if fleet.get("copies") is None
            else f"copy of {fleet['copies']:g} %",
            ready,
            format_number(found.get("rate"), 1),
            format_number(found.get("p50_ms"), 1, " ms"),
            format_number(found.get("p99_ms"), 1, " ms"),
            Text(format_number(errors / span if found else None, 1), style="bold red" if errors else ""),
        )
        for replica, names in sorted((fleet.get("devices") or {}).items()):
            shown.add_note(f"{replica} on {', '.join(names)}", "dim")
        if fleet["failure"]:
            shown.add_note(fleet["failure"], "red")
        elif fleet.get("problem"):
            shown.add_note(fleet["problem"], "yellow")
    return shown


def architecture_table(document: Document) -> Table | None:
    """How the containers of each fleet work together, and where services are; None if every fleet has a single
    container that runs here."""
    shown = Table(key("CONFIG"), address("SERVES"))
    lines = {}
    for fleet in document["fleets"]:
        made = fleet.get("architecture")
        if made is not None and made["mode"] != "single":
            join = " -> " if made["mode"] == "serial" else " | "
            said = join.join(f"{each['name']} ({each['image']})" for each in made["containers"])
            lines[fleet["config"], fleet["variant"]] = f"{made['mode']}: {said}"
        elif made is not None and (url := made["containers"][0].get("url")):
            lines[fleet["config"], fleet["variant"]] = f"the service {url}"
    for (config, variant), said in lines.items():
        shown.add_row(config or "-", said if len({v for _, v in lines}) == 1 else f"{variant} {said}")
    return shown if lines else None


def comparison_table(one: Document) -> Table:
    """A row each for a production variant and its shadow."""
    shown = Table(key("VARIANT"), secondary("CONFIG"), *map(number, ("REQUESTS", "ERRORS", "P50", "P99")))
    sides = ((one["variant"], one["original"]), (f"{one['shadow']} (shadow)", one["copied"]))
    for name, side in sides:
        shown.add_row(
            name,
            one["config"],
            format_number(side["requests"], 0),
            _format_percent(side["errors"]),
            format_number(side["p50_ms"], 2, " ms"),
            format_number(side["p99_ms"], 2, " ms"),
        )
    return shown


def format_verdict(one: Document) -> str:
    """Text with the number of copies, the agreement and the differences."""
    counts = f"{one['copies']:g} copies, {one['failed']:g} failed, {one['dropped']:g} dropped"
    parts = [f"{one['share']:g} % copied: {counts}"]
    if one["agreement"] is not None:
        parts.append(f"{_format_percent(one['agreement'])} of {one['compared']:g} pairs agree")
    if one["mean_difference"] is not None:
        some = f" (of {one['with_numbers']:g} pairs with numbers)" if one["with_numbers"] < one["compared"] else ""
        parts.append(
            f"difference {one['mean_difference']:.3g} on average, {one['largest_difference']:.3g} at most{some}"
        )
    elif one["compared"]:
        parts.append("no pair has numbers to compare")
    return "; ".join(parts)


def _format_percent(part: float | None) -> str:
    return "-" if part is None else f"{part * 100:.4g} %"


def scaling_table(targets: Iterable[Document]) -> Table:
    """A row for each scalable target: bounds, wanted and present count."""
    shown = Table(key("SCALED"), key("OF"), *map(number, ("MIN", "MAX", "DESIRED", "CURRENT")), sentence("WHY"))
    for one in targets:
        what = "instances" if one["dimension"].endswith("InstanceCount") else "provisioned concurrency"
        shown.add_row(
            one["variant"],
            what,
            str(one["min"]),
            str(one["max"]),
            format_number(one["desired"]),
            format_number(one["ready"]),
            one["running"] or "",
        )
    return shown


def alarm_table(documents: Iterable[Document]) -> Table:
    shown = Table(key("ALARM"), key("STATE"), key("SINCE"), sentence("WHY"))
    for one in documents:
        why = one["reason"] if one["state"] == "ALARM" else ""
        since = format_time(one["since"]) if one["since"] else "-"
        shown.add_row(one["name"], status_text(one["state"]), since, why)
    return shown


def signal_table(documents: Iterable[Document]) -> Table:
    shown = Table(key("SIGNAL OF"), number("VALUE"), key("READ"), sentence("CANNOT BE READ"))
    for one in documents:
        value = "-" if one["value"] is None else f"{one['value']:g}"
        read = format_time(one["at"]) if one["at"] else "-"
        shown.add_row(one["alarm"], value, read, Text(one["reason"] or "", style="yellow"))
    return shown


def event_lines(one: Document, width: int) -> list[Text]:
    """An event of the journal: when, what, and the message beside it."""
    kind = str(one["kind"]).rpartition(".")[2]
    narrow = width < NARROW
    at = format_clock(one["at"]) if narrow else format_time(one["at"])
    head = Text.assemble((f"{at} ", "dim"), (kind if narrow else f"{kind:18} ", STYLES.get(kind, "")))
    return hang(head, Text(str(one["message"])), width)
