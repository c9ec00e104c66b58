"""The record of a release as a report. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from tidegate.cli.report_files import Report, ReportTable, clean

UNKNOWN = "not known"
_HEADS = {
    "variant": "variant",
    "image": "image",
    "image_digest": "image digest",
    "model_data": "model data",
    "artifact_digest": "artifact digest",
    "data_digest": "data digest",
    "package": "model package",
}


def make_report(signed: Mapping[str, Any], judged: str) -> Report:
    """``signed``: a file that was verified. ``judged``: what recomputing its evidence said."""
    record = signed["record"]
    lead = f"{record['outcome']}{f': {reason}' if (reason := record['reason']) else ''}"
    return Report(
        f"Release record: {record['endpoint']} version {record['version']}, {record['config']}",
        lead,
        [*_lines(record), f"evidence: {judged}", f"signed with the key {signed['public_key']}"],
        list(_tables(record)),
    )


def render_markdown(report: Report, spec: str) -> str:
    """``spec``: the spec file as YAML."""
    parts = [
        f"# {_cell(report.title)}",
        f"**{_cell(report.lead)}**",
        "\n".join(f"- {_cell(x)}" for x in report.lines),
    ]
    for table in report.tables:
        rows = [table.heads, ["---"] * len(table.heads), *table.rows]
        lines = [f"| {' | '.join(_cell(one) for one in row)} |" for row in rows]
        parts += [f"## {_cell(table.title)}", "\n".join(lines)]
    fence = "`" * 8
    return "\n\n".join([*parts, "## Spec", f"{fence}yaml\n{spec}{fence}"]) + "\n"


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    rule = record["approval"]
    yield f"requested by {record['requested_by'] or UNKNOWN} at {record['began_at']}"
    asked = f"by somebody else with the role {rule['required_role']}" if rule["required_role"] else "nobody's"
    yield f"approval asked for: {asked}; given by {rule['by'] or 'nobody'}{f' at {at}' if (at := rule['at']) else ''}"
    yield f"served from {record['served_at'] or 'never'}; ended {record['ended_at'] or 'not'}"
    yield f"rollout {record['rollout']} on target {record['target']}; digest of the version {record['spec_digest']}"
    yield f"labels: {_labels(record['labels'])}"
    yield f"recorded at {record['made_at']} by {record['made_by']}"


def _labels(replay: Mapping[str, Any] | None) -> str:
    return "none were used" if replay is None else f"{replay['config']['rows']}, answered by both versions"


def _tables(record: Mapping[str, Any]) -> Iterator[ReportTable]:
    rows = [[str(one[key] or UNKNOWN) for key in _HEADS] for one in record["models"]]
    yield ReportTable("Models", list(_HEADS.values()), rows)
    if sources := [one["registry"] for one in record["models"] if one.get("registry")]:
        yield ReportTable("Registry", ["version", "run", "commit", "data", "metrics"], [*map(_source, sources)])
    if record["evidence"] is not None:
        verdict = record["evidence"]["verdict"]
        found = [
            [one["comparison"], one["variant"], one["finding"], one["evidence"]] for one in verdict["results"]
        ]
        yield ReportTable("Evidence", ["compared", "variant", "finding", "evidence of 1"], found)
    events = [[one["at"], one["kind"], one["message"]] for one in record["events"]]
    yield ReportTable("Events", ["at", "event", "message"], events)


def _source(known: Mapping[str, Any]) -> list[str]:
    metrics = ", ".join(f"{name} {value:g}" for name, value in sorted(known["metrics"].items()))
    shown = [known["version"], known["run"], known["commit"], ", ".join(known["data"]), metrics]
    return [str(one or UNKNOWN) for one in shown]


def _cell(text: str) -> str:
    """A text that is no markup, on one line."""
    plain = clean(text)
    return "".join(f"\\{char}" if char in "\\`*_[]<>#|!" else char for char in plain)
