"""``rollout record``: exports signed records of releases, and verifies them without a server."""

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import yaml

from tidegate.cli.output import AsJson, Name, client
from tidegate.cli.plain_parameters import PlainGroup
from tidegate.cli.report_files import Html, check_destinations, write_report
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.evidence import SAME_FINDINGS, EvidenceRecord
from tidegate.features.evidence.judge import recompute_record
from tidegate.features.release_record.command_report import make_report, render_markdown
from tidegate.features.release_record.signing import canonical, verify_file

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
        record = msgspec.convert(evidence, EvidenceRecord, strict=False)
    except msgspec.ValidationError as error:
        raise Conflict(f"its evidence is none that this tidegate can recompute: {error}") from None
    said = f"{record.verdict.finding}: {record.verdict.reason}"
    if record.rules < SAME_FINDINGS:
        return f"{said} (by the rules of an earlier tidegate)"
    found, same = recompute_record(record)
    if not same:
        raise Conflict(f"the verdict is {record.verdict.finding}, and {found.finding} follows from its blocks")
    return f"{said} (the same follows from its {len(record.blocks)} blocks)"
