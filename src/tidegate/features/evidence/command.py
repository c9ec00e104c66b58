"""``rollout evidence``: shows what the comparison of a rollout's versions found, and recomputes it."""

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tidegate.cli.logs import show_controls
from tidegate.cli.output import AsJson, Name, client, console
from tidegate.cli.plain_parameters import PlainGroup
from tidegate.cli.report_files import chosen_files, takes_report_files
from tidegate.cli.tables import Table, key, number, secondary
from tidegate.domain.assurance import Assurance, HarmResult
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.evidence import OF_PAIRS, SAME_FINDINGS, EvidenceRecord, Measurement
from tidegate.domain.traffic import WHOLE
from tidegate.features.evidence.assurance import HARM_HEADS, harm_cells
from tidegate.features.evidence.bounds import LEVEL
from tidegate.features.evidence.command_report import make_report
from tidegate.features.evidence.judge import recompute_record
from tidegate.features.evidence.measures import measured_cells
from tidegate.features.evidence.pairs import format_estimate
from tidegate.features.evidence.replay.table import show_replay
from tidegate.spec.unit_texts import percent_text

_SAID = {"a": "A", "b": "B", "n": "neither", "q": ""}
"""What a person may type; the last one ends."""

app = typer.Typer(
    cls=PlainGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Show what a rollout's comparison of versions found.",
)


@app.command("show")
@takes_report_files
def show(name: Name, as_json: AsJson = False) -> None:
    """Show the evidence of the last rollout: verdict, numbers and inputs.

    \b
    Examples:
      tidegate rollout evidence show fraud
      tidegate rollout evidence show fraud --json > evidence.json
      tidegate rollout evidence show fraud --html evidence.html
    """
    files = chosen_files()
    with client() as server:
        document = server.evidence(name)
        if files.wanted:
            files.write(make_report(server.evidence_timeline(name)))
    if as_json:
        print(json.dumps(document))
        return
    if "replay" in document:
        show_replay(document["replay"])
    if "verdict" not in document:
        return
    verdict = document["verdict"]
    print(f"{document['new_config']} compared with {document['old_config']}, stage {verdict['stage'] + 1}")
    print(f"verdict: {verdict['finding']}: {verdict['reason']}")
    console().print(_table(verdict["results"]))
    if any(one.get("measurements") for one in verdict["results"]):
        print(f"\neach test: how much worse the new version is, with bounds ({LEVEL:.0%} at all looks together)")
        console().print(_measured(verdict["results"]))
    if verdict.get("harms"):
        print(
            f"\nwhat is ruled out before {_before(document)} of the traffic ({verdict['exposed']:,} requests so far)"
        )
        console().print(_harms(document))
    print(f"action {document['config']['action']}, {len(document['blocks'])} blocks of requests", end="")
    print(f", {document['late']} late reports" if document["late"] else "")
    if any(document["unusable"]):
        print(
            "sampled answers without a number: {} of the old version, {} of the new".format(*document["unusable"])
        )


@app.command("label")
def label(
    name: Name,
    pair: Annotated[str, typer.Option(metavar="ID", help="Label this pair, which is next, and ask nothing.")] = "",
    better: Annotated[str, typer.Option(metavar="A|B|neither", help="The better answer, with --pair.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say which of two answers to a request is better, to correct the judge.

    Pairs are shown one after the other, answers in random order. q ends.

    \b
    Examples:
      tidegate rollout evidence label chat
      tidegate rollout evidence label chat --json
      tidegate rollout evidence label chat --pair 5f0c2b6f7a5d4e31 --better A
    """
    if bool(pair) != bool(better):
        raise Invalid("--pair and --better belong together")
    with client() as server:
        found = server.label_judged_pair(name, pair, better) if pair else server.judged_pair(name)
        while not as_json and not pair and found["pair"] is not None:
            _show_pair(found)
            said = _SAID.get(typer.prompt("Better (A, B, n: neither, q: end)", err=True).strip().lower())
            if said == "":
                break
            found = server.label_judged_pair(name, found["pair"]["id"], said) if said else found
    if as_json:
        print(json.dumps(found))
        return
    print("{labelled:,} pairs have labels ({enough} of a variant decide), {waiting:,} wait".format(**found))


def _show_pair(found: dict[str, Any]) -> None:
    pair = found["pair"]
    for title, text in (("REQUEST", pair["request"]), ("ANSWER A", pair["A"]), ("ANSWER B", pair["B"])):
        print(f"{title}\n" + "\n".join(show_controls(line) for line in text.splitlines()) + "\n")


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(help="What 'evidence show --json' printed.")], as_json: AsJson = False
) -> None:
    """Recompute a verdict from its inputs, without a server.

    \b
    Examples:
      tidegate rollout evidence verify evidence.json
    """
    try:
        record = msgspec.json.decode(file.read_bytes(), type=prepare_type(EvidenceRecord))
    except (OSError, msgspec.DecodeError) as error:
        raise Invalid(f"{file}: {error}") from None
    if record.rules < SAME_FINDINGS:
        _say_what_follows(file, record, as_json)
        return
    found, same = recompute_record(record)
    if not same:
        said, follows = record.verdict.finding, found.finding
        raise Conflict(f"{file}: the verdict is {said}, and {follows} follows from its blocks")
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    print(f"{found.finding}: {found.reason}: the same as in the file")


def _say_what_follows(file: Path, record: EvidenceRecord, as_json: bool) -> None:
    """Print the verdict by the present rules, for a verdict by earlier rules, which cannot be recomputed."""
    found, _ = recompute_record(record)
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    said = record.verdict.finding
    print(f"{file}: its verdict ({said}) was found by the rules of an earlier tidegate, which are gone")
    print(f"by the present ones its blocks say {found.finding}: {found.reason}")


def _table(results: list[dict[str, Any]]) -> Table:
    shown = Table(
        key("COMPARED"),
        key("VARIANT"),
        key("FINDING"),
        secondary("TEST"),
        *map(number, ("EVIDENCE", "OLD", "NEW", "IN STAGE")),
    )
    for one in results:
        shown.add_row(
            one["comparison"],
            one["variant"],
            one["finding"],
            one["test"],
            f"{one['evidence']:.2f}",
            *(_pairs(one) if one["comparison"] in OF_PAIRS else _sides(one)),
        )
    return shown


def _measured(results: list[dict[str, Any]]) -> Table:
    shown = Table(
        key("COMPARED"),
        key("TEST"),
        key("FINDING"),
        *map(number, ("DIFFERENCE", "BOUNDS", "TOLERANCE", "IN STAGE")),
    )
    several = len({one["variant"] for one in results}) > 1
    for result in results:
        name = f"{result['comparison']} ({result['variant']})" if several else result["comparison"]
        for one in result["measurements"]:
            shown.add_row(name, *measured_cells(msgspec.convert(one, prepare_type(Measurement))))
    return shown


def _before(document: dict[str, Any]) -> str:
    return percent_text(document["config"]["assure"]["before"] / WHOLE)


def _harms(document: dict[str, Any]) -> Table:
    known, variant, said, *numbers = (head.upper() for head in HARM_HEADS)
    shown = Table(key(known), key(variant), key(said), *map(number, numbers))
    config = msgspec.convert(document["config"]["assure"], prepare_type(Assurance))
    for one in document["verdict"]["harms"]:
        shown.add_row(*harm_cells(msgspec.convert(one, prepare_type(HarmResult)), config))
    return shown


def _sides(result: dict[str, Any]) -> tuple[str, str, str]:
    old_n, old_k, new_n, new_k = result["counts"]
    return _share(old_k, old_n), _share(new_k, new_n), "{} / {}".format(*result["stage_requests"])


def _pairs(result: dict[str, Any]) -> tuple[str, str, str]:
    """Format the cells of a comparison of pairs. It has one number, which says how much the new version differs."""
    count, total, squares = result["pairs"]
    shown = format_estimate(result["test"], (count, total, squares))
    return "", shown, f"{result['stage_requests'][0]} of {result['lost'][0]}"


def _share(hits: int, requests: int) -> str:
    return f"{hits / requests:.2%} of {requests}" if requests else "-"
