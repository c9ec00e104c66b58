"""``plan``: from what is known of a model to a deployment that can run, with its price and its reasons."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.output import AsJson, client, console, print_note
from tidegate.cli.progress import ProgressBar
from tidegate.cli.spec_file import read_spec
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid
from tidegate.features.planner import planning as planner
from tidegate.features.planner.answers import Question
from tidegate.features.planner.card import card
from tidegate.features.planner.flip_points import FlipSearch
from tidegate.features.planner.interview import Interview
from tidegate.features.planner.measured import EndpointMeasurement, describe, plan_again, tell
from tidegate.features.planner.models import with_models
from tidegate.features.planner.plan_promise import lines
from tidegate.features.planner.planning import Plan, PlanAnswers
from tidegate.host.atomic_write import write_atomically
from tidegate.prices import Catalogue, price_folder
from tidegate.settings import Settings

Shown = tuple[Plan, EndpointMeasurement]
"""The plan before, and what its endpoint has shown."""
BACK, EXPLAIN = "back", "?"
KEPT = "plan-answers.json"
"""File in the state folder with the answers of questions that were not answered to the end."""


def plan(
    *,
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Answers in YAML or JSON; asked in the terminal if absent.")
    ] = None,
    example: Annotated[str | None, typer.Option(metavar="NAME", help="A worked example's answers.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One answer other than in there.")
    ] = None,
    further: Annotated[
        bool, typer.Option("--all", help="Ask every question, also where no answer changes the plan.")
    ] = False,
    resume: Annotated[bool, typer.Option("--continue", help="Go on where the questions stopped.")] = False,
    running: Annotated[
        str | None,
        typer.Option("--from", metavar="ENDPOINT", help="Plan again with what this endpoint has shown."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]DATA", help="Model data for the spec: a path, file:// or s3://; by container."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the spec, reasons in its comments.")
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Also the reasons, what would change them, and every price.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Plan a deployment, each choice with its reason.

    Target, mode, instances, scaling, strategy and price. Without --answers or --example it asks.

    \b
    Examples:
      tidegate plan
      tidegate plan --example payroll-fraud --why
      tidegate plan --answers answers.yaml --set rate=200 --json
      tidegate plan --example payroll-fraud --model model.tar.gz --out plan.yaml
      tidegate plan --from fraud --answers answers.yaml
    """
    changes = dict(_change(text) for text in change or ())
    made, shown = _make_plan(running, answers, example, changes, further=further, resume=resume, as_json=as_json)
    spec = with_models(made.spec, [_address(text, out) for text in model]) if model else None
    _tell(made, shown, spec, why=why, as_json=as_json)
    if out is not None:
        _write_spec(out, made, spec)


def _tell(made: Plan, shown: Shown | None, spec: dict[str, Any] | None, *, why: bool, as_json: bool) -> None:
    document = _describe(made, quiet=as_json) | ({} if shown is None else {"measured": describe(*shown)})
    if as_json:
        print(json.dumps(document if spec is None else {**document, "spec": spec}))
        return
    show(made, console())
    for line in () if shown is None else tell(*shown):
        console().print(Text(line))
    if why:
        _show_why(made, console())


def _write_spec(out: Path, made: Plan, spec: dict[str, Any] | None) -> None:
    _write(out, planner.render_spec(made, spec))
    run = f"tidegate {'batch' if 'job' in made.spec else 'deploy'} {out}"
    print_note(f"wrote {out}: {run}" + ("" if spec is not None else ", once your model data is put in"))


def _describe(made: Plan, *, quiet: bool) -> dict[str, Any]:
    """The plan as a document, for which its promise is computed."""
    with ProgressBar("computing what its alarms can see", quiet=quiet):
        return planner.document(made)


def _make_plan(
    running: str | None,
    answers: Path | None,
    example: str | None,
    changes: Mapping[str, object],
    *,
    further: bool,
    resume: bool,
    as_json: bool,
) -> tuple[Plan, Shown | None]:
    """From what an endpoint has shown, or from the file or the example with its changes; asked in the terminal where
    there is none of them."""
    if answers is not None and example is not None:
        raise Invalid("give --answers or --example, not both")
    if running is not None and resume:
        raise Invalid("give --from or --continue, not both")
    if running is not None:
        return _plan_again(running, answers, example, changes, as_json=as_json)
    catalogue = _load_catalogue()
    if answers is None and example is None:
        kept = Settings.from_environment(os.environ).state.expanduser() / KEPT
        search = planner.search_flips(catalogue)
        interview = _resume(kept, changes, search) if resume else Interview(changes, search, further)
        return _plan_or_relax(_ask_all(interview, kept), catalogue, as_json=as_json), None
    given = planner.read({**_read_answers(answers, example), **changes})
    return _plan_or_relax(given, catalogue, as_json=as_json), None


def _plan_again(
    running: str, answers: Path | None, example: str | None, changes: Mapping[str, object], *, as_json: bool
) -> tuple[Plan, Shown]:
    """The plan with what a running endpoint has shown, the plan before, and what was measured. ``changes`` go over
    both."""
    with client() as server:
        found = msgspec.convert(server.measured(running), prepare_type(EndpointMeasurement))
    known: dict[str, object] = {"name": running, "rate": f"{found.busy_rate:.6g}"}
    if answers is not None or example is not None:
        known |= _read_answers(answers, example)
    before = _plan_or_relax(planner.read(known), _load_catalogue(), as_json=as_json)
    return plan_again(known, before, found, changes), (before, found)


def _load_catalogue() -> Catalogue:
    settings = Settings.from_environment(os.environ)
    return Catalogue.load(price_folder(settings.prices, settings.state))


def _plan_or_relax(answers: PlanAnswers, catalogue: Catalogue, *, as_json: bool) -> Plan:
    """Make the plan. Where there is none, the changes that would make one come before the refusal: in words, or as
    ``POST /plan`` answers them."""
    try:
        return planner.plan(answers, catalogue)
    except Invalid as error:
        found = planner.relaxations(answers, catalogue)
        if as_json:
            relaxations = [asdict(one) for one in found]
            refusal = {"code": error.code, "message": error.message, "relaxations": relaxations}
            print(json.dumps({"error": refusal}))
        else:
            for one in found:
                print_note(f"with {one.say}")
        raise


def show(made: Plan, screen: Console) -> None:
    """The plan on one screen."""
    first, *others = card(made, screen.width, datetime.now(UTC).date())
    screen.print(Text(first, style="bold"))
    for line in others:
        screen.print(Text(line))


def _show_why(made: Plan, screen: Console) -> None:
    """The way through the flowchart, the reasons, and all that the plan rests on."""
    screen.print("\nThe way through the flowchart:")
    for step in made.steps:
        answer = Text("yes" if step.answer else "no", style="green" if step.answer else "cyan")
        screen.print(Text.assemble("  ", step.question, " ", answer, f": {step.because}"))
    screen.print("\nWhy, and what would change it:")
    for row in made.rows:
        screen.print(Text.assemble("  ", (row.name, "bold"), f": {row.reason}"))
        screen.print(Text(f"      change: {row.change}", style="dim"))
    if made.spec.get("alarms"):
        screen.print("\nAlarms that turn a rollout back:")
    for key, alarm in made.spec.get("alarms", {}).items():
        span = f"{alarm['datapoints']} of {alarm['periods']} periods of {alarm['period']}"
        screen.print(f"  {key}: {alarm['metric']} {alarm['statistic']} above {alarm['above']}, {span}")
    if made.promise is not None:
        screen.print("\nWhat the rollout can promise, at the ordinary rate:")
        for text in lines(made.promise):
            screen.print(Text(f"  {text}"))
    _show_costs(made, screen)
    if made.choices:
        screen.print("\nOther choices:")
        for choice in made.choices:
            screen.print(Text(f"  {choice.say}"))
    _show_outlook(made, screen)
    for one in made.notes:
        screen.print(Text.assemble(("\nNote: ", "yellow"), one.say, f"\n  {one.change}" if one.change else ""))
    for text in made.assumptions:
        screen.print(Text.assemble(("\nAssumed: ", "dim"), text))


def _show_outlook(made: Plan, screen: Console) -> None:
    screen.print("\nWhat would change it (the most for the bill first):")
    for text in (*(one.say for one in made.outlook.flips), *(one.say for one in made.outlook.elsewhere)):
        screen.print(Text(f"  {text}"))
    for text in made.outlook.bad_days:
        screen.print(Text(f"  {text}"))


def _show_costs(made: Plan, screen: Console) -> None:
    screen.print("\nWhat a month costs:")
    for line in made.bill.lines:
        month = line.amount / made.bill.total * made.bill.month if made.bill.total else 0.0
        screen.print(Text(f"  ${month:,.2f}  {line.why}"))
    screen.print("\nPrices:")
    for rate in {line.rate.item: line.rate for line in made.bill.lines}.values():
        note = f" ({rate.note})" if rate.note else ""
        amount = f"${draw.format_rate(rate.amount)} {draw.each(rate.unit)}"
        screen.print(Text(f"  {rate.item} {amount}, {rate.date}: {rate.source}{note}"))


def _read_answers(answers: Path | None, example: str | None) -> Mapping[str, Any]:
    if answers is None:
        return planner.answers_of(example or "")
    data = read_spec(answers).data
    if not isinstance(data, dict):
        raise Invalid(f"{answers}: expected keys and values, such as rate: 20")
    return data


def _change(text: str) -> tuple[str, object]:
    """``rate=200``; yes, no and numbers are told by the question itself."""
    key, mark, value = text.partition("=")
    if not mark:
        raise Invalid(f"--set {text}: expected KEY=VALUE, such as rate=200")
    return key.strip(), value.strip() or None


def _address(text: str, out: Path | None) -> str:
    """A path as the spec file ``out`` has it: relative to its folder, as it was given; otherwise a file:// address.
    A name before it stays."""
    name, mark, rest = text.partition("=")
    before, path = (f"{name}=", rest) if mark and "/" not in name else ("", text)
    if "://" in path:
        return text
    given = Path(path).expanduser()
    if out is not None and not given.is_absolute():
        return before + os.path.relpath(given, out.parent) + ("/" if path.endswith("/") or given.is_dir() else "")
    found = given.absolute()
    return before + found.as_uri() + ("/" if path.endswith("/") or found.is_dir() else "")


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text.encode(), mode=0o666, durable=False)
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None


def _ask_all(interview: Interview, kept: Path) -> PlanAnswers:
    """Ask until all is answered. Each answer is kept in a file as it is given, which ends with the last one: Ctrl-C
    and a refusal lose none. Prompts go to stderr, so that stdout has the plan alone. Raises Invalid where nobody
    answers."""
    typer.echo(
        "'back' goes back, '?' explains, Enter takes what is in brackets, KEY=VALUE answers another question.",
        err=True,
    )
    while (question := interview.next_question()) is not None:
        number, count = interview.number()
        typer.echo(f"\n{number} of {count}. {question['ask']}", err=True)
        text = _answer(question, interview.reason(question))
        if text == BACK:
            interview.go_back()
        elif text == EXPLAIN:
            _explain(question)
            continue
        else:
            try:
                interview.answer(*_find_question(question, text))
            except Invalid as error:
                typer.echo(f"  {error.message}", err=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        _write(kept, json.dumps({"given": interview.given, "said": interview.said, "further": interview.further}))
    return planner.read(interview.answers)


def _resume(kept: Path, given: Mapping[str, object], search: FlipSearch) -> Interview:
    """The interview where it stopped. Raises Invalid where none is kept."""
    try:
        found = json.loads(kept.read_text())
        return Interview({**found["given"], **given}, search, found["further"], found["said"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Invalid(f"{kept}: no answers are kept here: start with 'tidegate plan'") from None


def _find_question(question: Question, text: str) -> tuple[Question, str]:
    """Return the question that a line answers, and the answer: ``payload=2 MB`` answers another than was asked."""
    key, mark, value = text.partition("=")
    named = [one for one in planner.what_is_asked()["questions"] if mark and one["key"] == key.strip()]
    return (named[0], value.strip()) if named else (question, text)


def _explain(question: Question) -> None:
    if question.get("choices"):
        typer.echo(f"    one of {', '.join(question['choices'])}", err=True)
    if question.get("explain"):
        typer.echo(f"    {question['explain']}", err=True)
    typer.echo(f"    default: {_format_default(question['default']) or 'none'} ({question['key']})", err=True)


def _answer(question: Question, reason: str) -> str:
    """Prompt for one answer and return the line that was typed, empty for the default. ``reason``: why it is asked.
    Raises Invalid at the end of input."""
    for choice, told in (question.get("choices") or {}).items():
        if told:
            typer.echo(f"    {choice}: {told}", err=True)
    if question.get("help"):
        typer.echo(f"    {question['help']}", err=True)
    if reason:
        typer.echo(f"    {reason}", err=True)
    shown = "" if question.get("required") else _format_default(question["default"])
    typer.echo(f"  {f'[{shown}] ' if shown else ''}> ", err=True, nl=False)
    line = sys.stdin.readline()
    if not line:
        raise Invalid(
            f"nobody answers {question['ask']!r}: give --answers or --example where there is no terminal;"
            " 'tidegate plan --continue' goes on"
        )
    return line.strip()


def _format_default(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
