"""``rollout record``: exports signed records of releases, and verifies them without a server."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import yaml

from tidegate.cli.output import AsJson, Name, client
from tidegate.cli.plain_parameters import PlainGroup
from tidegate.cli.report_files import Html, Report, ReportTable, check_destinations, clean, write_report
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.evidence import SAME_FINDINGS, EvidenceRecord
from tidegate.features.evidence.judge import recompute_record
from tidegate.features.release_record.signing import canonical, verify_file

# --- the record of a release as a report ---


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


app = typer.Typer(
    cls=PlainGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Signed records of releases.",
)


@app.command("export")
def export(
    name: Name,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Number; default: the newest release.")
    ] = None,
) -> None:
    """Print the signed record of a release whose rollout has ended.

    \b
    Examples:
      tidegate rollout record export fraud > release.json
      tidegate rollout record export fraud --version 3 > release-3.json
    """
    with client() as server:
        print(canonical(server.release_record(name, version)))


@app.command("key")
def key(as_json: AsJson = False) -> None:
    """Print the public key with which this server signs.

    \b
    Example:
      tidegate rollout record key
    """
    with client() as server:
        public = server.release_key()
    print(json.dumps({"public_key": public}) if as_json else public)


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(help="What 'record export' printed.")],
    key: Annotated[str | None, typer.Option("--key", help="The public key that must have signed it.")] = None,
    html: Html = None,
    as_json: AsJson = False,
) -> None:
    """Verify a record without a server, recompute its evidence, and print it as Markdown.

    The exit status is 1 if anything in it was changed. Without --key the record only shows which key signed it.

    \b
    Examples:
      tidegate rollout record verify release.json > release.md
      tidegate rollout record verify release.json --html release.html
    """
    check_destinations(html)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file}: {error.strerror}") from None
    try:
        signed = verify_file(content, None if key is None else key.strip().lower())
        judged = _judge(signed["record"]["evidence"])
    except Conflict as error:
        raise Conflict(f"{file}: {error.message}") from None
    report = make_report(signed, judged)
    if html is not None:
        write_report(report, html, None)
    if as_json:
        print(json.dumps(signed["record"]))
        return
    spec = yaml.safe_dump(signed["record"]["spec"], sort_keys=False)
    print(render_markdown(report, spec), end="")


def _judge(evidence: dict[str, Any] | None) -> str:
    """Raises Conflict if the recorded verdict does not follow from the recorded blocks."""
    if evidence is None:
        return "the versions were not compared"
    try:
        record = msgspec.convert(evidence, prepare_type(EvidenceRecord), strict=False)
    except msgspec.ValidationError as error:
        raise Conflict(f"its evidence is none that this tidegate can recompute: {error}") from None
    said = f"{record.verdict.finding}: {record.verdict.reason}"
    if record.rules < SAME_FINDINGS:
        return f"{said} (by the rules of an earlier tidegate)"
    found, same = recompute_record(record)
    if not same:
        raise Conflict(f"the verdict is {record.verdict.finding}, and {found.finding} follows from its blocks")
    return f"{said} (the same follows from its {len(record.blocks)} blocks)"
