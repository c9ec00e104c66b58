"""``plan``: from what is known of a model to a deployment that can run, with its price and its reasons."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from tidegate.advisor import planner
from tidegate.advisor.planner import Plan
from tidegate.advisor.planner.document import all_notes
from tidegate.advisor.planner.models import with_models
from tidegate.advisor.planner.plan_promise import lines
from tidegate.advisor.prices import Catalogue
from tidegate.cli import draw
from tidegate.cli.deploy import read_spec
from tidegate.cli.output import AsJson, console, print_note
from tidegate.cli.prompts import ask_all
from tidegate.domain.errors import Invalid
from tidegate.host.atomic_write import write_atomically
from tidegate.settings import Settings


def plan(
    *,
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Answers in YAML or JSON; asked in the terminal if absent.")
    ] = None,
    example: Annotated[str | None, typer.Option(metavar="NAME", help="A worked example's answers.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One answer other than in there.")
    ] = None,
    further: Annotated[bool, typer.Option("--all", help="Ask the further questions, too.")] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]DATA", help="Model data for the spec: a path, file:// or s3://; by container."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the spec, reasons in its comments.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Plan a deployment: target, mode, instances, scaling, strategy and price, each with its reason.

    Without --answers or --example it asks. The spec of --out is what 'tidegate deploy' takes.

    \b
    Examples:
      tidegate plan
      tidegate plan --example payroll-fraud
      tidegate plan --answers answers.yaml --set rate=200 --json
      tidegate plan --example payroll-fraud --model model.tar.gz --out plan.yaml
    """
    if answers is not None and example is not None:
        raise Invalid("give --answers or --example, not both")
    changes = dict(_change(text) for text in change or ())
    catalogue = Catalogue.load(Settings.from_environment(os.environ).prices)
    if answers is None and example is None:
        made = planner.plan(ask_all(changes, further=further), catalogue)
    else:
        made = planner.plan(planner.read({**_given(answers, example), **changes}), catalogue)
    spec = with_models(made.spec, [_address(text) for text in model]) if model else None
    if as_json:
        document = planner.document(made)
        print(json.dumps(document if spec is None else {**document, "spec": spec}))
    else:
        show(made, console())
    if out is not None:
        _write(out, planner.written(made, spec))
        run = f"tidegate deploy {out}" if made.job is None else f"tidegate batch {out} INPUT OUTPUT"
        print_note(f"wrote {out}: {run}" + ("" if spec is not None else ", once your model data is put in"))


def show(made: Plan, screen: Console) -> None:
    """The six rows, the walk, and the reasons under them."""
    rows = draw.make_table("", "RECOMMENDED")
    for row in made.rows:
        rows.add_row(Text(row.name, style="bold"), row.value)
    screen.print(rows)
    screen.print("\nThe way through the flowchart:")
    for step in made.steps:
        answer = Text("yes" if step.answer else "no", style="green" if step.answer else "cyan")
        screen.print(Text.assemble("  ", step.question, " ", answer, f": {step.because}"))
    screen.print("\nWhy, and what would change it:")
    for row in made.rows:
        screen.print(Text.assemble("  ", (row.name, "bold"), f": {row.reason}"))
        screen.print(Text(f"      change: {row.change}", style="dim"))
    _more(made, screen)


def _more(made: Plan, screen: Console) -> None:
    screen.print("\nAlarms that turn a rollout back:")
    for key, alarm in made.spec["alarms"].items():
        span = f"{alarm['datapoints']} of {alarm['periods']} periods of {alarm['period']}"
        screen.print(f"  {key}: {alarm['metric']} {alarm['statistic']} above {alarm['above']}, {span}")
    if made.promise is not None:
        screen.print("\nWhat the rollout can promise, at the ordinary rate:")
        for text in lines(made.promise):
            screen.print(f"  {text}")
    screen.print("\nWhat a month costs:")
    for line in made.bill.lines:
        month = line.amount / made.bill.total * made.bill.month if made.bill.total else 0.0
        screen.print(f"  ${month:,.2f}  {line.why}")
    if made.choices:
        screen.print("\nOther choices:")
        for choice in made.choices:
            screen.print(f"  {choice.say}")
    for text in made.overrides:
        screen.print(Text.assemble(("\nOVERRIDE: ", "bold red"), text))
    for one in all_notes(made):
        screen.print(Text.assemble(("\nNote: ", "yellow"), one.say, f"\n  {one.change}" if one.change else ""))
    for text in made.assumptions:
        screen.print(Text.assemble(("\nAssumed: ", "dim"), text))


def _given(answers: Path | None, example: str | None) -> Mapping[str, Any]:
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


def _address(text: str) -> str:
    """A path as a file:// address; a name before it stays."""
    name, mark, rest = text.partition("=")
    before, path = (f"{name}=", rest) if mark and "/" not in name else ("", text)
    if "://" in path:
        return text
    found = Path(path).expanduser().absolute()
    return before + found.as_uri() + ("/" if path.endswith("/") or found.is_dir() else "")


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text.encode(), mode=0o666, durable=False)
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None
