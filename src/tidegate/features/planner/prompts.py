"""The planner's questions in a terminal, as ``planner/data/questions.yaml`` has them."""

import sys
from collections.abc import Mapping
from typing import Any

import typer

from tidegate.domain.errors import Invalid
from tidegate.features.planner import planning as planner
from tidegate.features.planner.answers import asked, parsed
from tidegate.features.planner.planning import Answers
from tidegate.features.planner.tables import table


def ask_all(given: Mapping[str, object], *, further: bool) -> Answers:
    """Asks what makes sense after the answers so far, and again where an answer is none. ``given`` is not asked.

    Prompts go to stderr, so that stdout has the plan alone. Raises Invalid where there is nobody to answer.
    """
    questions = table("questions")
    values = {one["key"]: parsed(one, one["default"], stated=False) for one in questions}
    said: dict[str, object] = dict(given)
    for question in questions:
        if question["key"] in given:
            values[question["key"]] = parsed(question, given[question["key"]])
    for more in (False, True):
        if more and not further:
            break
        for question in questions:
            if bool(question.get("further")) is more and question["key"] not in given and asked(question, values):
                typed, values[question["key"]] = _ask(question)
                said |= {question["key"]: typed} if typed else {}
    return planner.read(said)


def _ask(question: Mapping[str, Any]) -> tuple[str, Any]:
    """What was typed, and the answer that it is; empty for the default."""
    typer.echo(f"\n{question['ask']}", err=True)
    for choice, told in (question.get("choices") or {}).items():
        if told:
            typer.echo(f"    {choice}: {told}", err=True)
    if question.get("help"):
        typer.echo(f"    {question['help']}", err=True)
    while True:
        text = _answer(question)
        try:
            return text, parsed(question, text if text else _default(question), stated=bool(text))
        except Invalid as error:
            typer.echo(f"  {error.message}", err=True)


def _answer(question: Mapping[str, Any]) -> str:
    """What was typed; empty for the default."""
    shown = "" if question.get("required") else _shown(question["default"])
    typer.echo(f"  {f'[{shown}] ' if shown else ''}> ", err=True, nl=False)
    line = sys.stdin.readline()
    if not line:
        raise Invalid(
            f"nobody answers {question['ask']!r}: give --answers or --example where there is no terminal"
        )
    return line.strip()


def _default(question: Mapping[str, Any]) -> object:
    if question.get("required"):
        raise Invalid(f"{question['key']}: this has to be answered")
    return question["default"]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
