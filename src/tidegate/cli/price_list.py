"""``prices``: the catalogue of prices, with the source and date of each."""

import json
import os
from dataclasses import asdict
from typing import Annotated, Any

import typer

from tidegate.advisor.prices import EVERYWHERE, HOSTING, Catalogue, InstanceType, Rate
from tidegate.cli import draw
from tidegate.cli.output import AsJson, console
from tidegate.settings import Settings


def prices(
    word: Annotated[str, typer.Argument(metavar="[WORD]", help="Part of an item's name, such as c5 or s3.")] = "",
    region: Annotated[str | None, typer.Option(help="Of this region alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the catalogue of prices, with the source and date of each.

    TIDEGATE_PRICES names a folder of CSV files whose rows go over the packaged ones.

    \b
    Examples:
      tidegate prices c5
      tidegate prices serverless --region us-east-1 --json
    """
    catalogue = Catalogue.load(Settings.from_environment(os.environ).prices)
    found = [
        rate
        for rate in catalogue.rates()
        if word in rate.item and (region is None or rate.region in (region, EVERYWHERE))
    ]
    machines = {HOSTING + one.name: one for one in catalogue.instances()}
    if as_json:
        print(json.dumps([_document(rate, machines.get(rate.item)) for rate in found]))
        return
    shown = draw.make_table("ITEM", "REGION", "UNIT", ">$", ">LOW", ">HIGH", "MACHINE", "DATE", "SOURCE")
    for rate in found:
        amounts = (draw.format_rate(value) for value in (rate.amount, rate.low, rate.high))
        machine = _told(machines.get(rate.item))
        shown.add_row(rate.item, rate.region, rate.unit, *amounts, machine, str(rate.date), rate.source)
    console().print(shown)


def _document(rate: Rate, machine: InstanceType | None) -> dict[str, Any]:
    return {**asdict(rate), "date": rate.date.isoformat(), "instance": machine and asdict(machine)}


def _told(machine: InstanceType | None) -> str:
    if machine is None:
        return ""
    beside = f", {machine.accelerators} x {machine.accelerator}" if machine.accelerators else ""
    return f"{machine.vcpus} vCPU, {machine.memory_gib:g} GiB{beside}"
