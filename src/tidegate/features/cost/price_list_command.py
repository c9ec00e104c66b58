"""``cost prices``: the catalogue of prices, with the source and date of each, and its update from AWS."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli import draw
from tidegate.cli.output import AsJson, console
from tidegate.cli.plain_parameters import PlainGroup
from tidegate.cli.tables import Table, key, number, secondary, sentence
from tidegate.host.late_import import load
from tidegate.prices import EVERYWHERE, HOSTING, MAIN_REGIONS, Catalogue, InstanceType, Rate, price_folder
from tidegate.settings import Settings


class _ListsByDefault(PlainGroup):
    """``prices c5`` is ``prices list c5``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first not in self.commands and first != "--help":
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_ListsByDefault, rich_markup_mode=None, help="List the catalogue of prices, or update it.")


@app.command("update")
def update_prices(
    region: Annotated[
        list[str] | None,
        typer.Option(help="Of this region; repeat it for more.", show_default="the nine main ones"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where the files go.", show_default="TIDEGATE_PRICES, or the state folder"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Get today's prices from AWS's Price List API, each with its SKU and date.

    It writes one file for each region (aws-REGION.csv), whose rows go over the packaged ones. AWS credentials with
    pricing:GetProducts are needed; the call is free of charge.

    \b
    Examples:
      tidegate cost prices update
      tidegate cost prices update --region eu-central-1 --region eu-west-1
    """
    settings = Settings.from_environment(os.environ)
    folder = out or settings.prices or settings.state.expanduser() / "prices"
    # botocore takes a while to import, and only an update needs it.
    counts = load("tidegate.features.cost.price_update", "update")(
        tuple(region or MAIN_REGIONS), folder, Catalogue.load(price_folder(settings.prices, settings.state))
    )
    if as_json:
        print(json.dumps({"folder": str(folder), "prices": counts}))
    else:
        console().print(f"wrote {sum(counts.values())} prices of {', '.join(counts)} into {folder}")


@app.command("list")
def list_prices(
    word: Annotated[str, typer.Argument(metavar="[WORD]", help="Part of an item's name, such as c5 or s3.")] = "",
    region: Annotated[str | None, typer.Option(help="Of this region alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the catalogue of prices, with the source and date of each.

    TIDEGATE_PRICES names a folder of CSV files whose rows go over the packaged ones.

    \b
    Examples:
      tidegate cost prices c5
      tidegate cost prices serverless --region us-east-1 --json
    """
    settings = Settings.from_environment(os.environ)
    catalogue = Catalogue.load(price_folder(settings.prices, settings.state))
    found = [
        rate
        for rate in catalogue.rates()
        if word in rate.item and (region is None or rate.region in (region, EVERYWHERE))
    ]
    machines = {HOSTING + one.name: one for one in catalogue.instances()}
    if as_json:
        print(json.dumps([_document(rate, machines.get(rate.item)) for rate in found]))
        return
    shown = Table(
        key("ITEM"),
        key("REGION"),
        key("UNIT"),
        number("$"),
        number("LOW", rank=3),
        number("HIGH", rank=3),
        secondary("MACHINE", 2),
        secondary("DATE", 1),
        sentence("SOURCE"),
    )
    for rate in found:
        amount, low, high = (draw.format_rate(value) for value in (rate.amount, rate.low, rate.high))
        machine = _describe(machines.get(rate.item))
        shown.add_row(rate.item, rate.region, rate.unit, amount, low, high, machine, str(rate.date), rate.source)
    console().print(shown)


def _document(rate: Rate, machine: InstanceType | None) -> dict[str, Any]:
    return {**asdict(rate), "date": rate.date.isoformat(), "instance": machine and asdict(machine)}


def _describe(machine: InstanceType | None) -> str:
    if machine is None:
        return ""
    beside = f", {machine.accelerators} x {machine.accelerator}" if machine.accelerators else ""
    return f"{machine.vcpus} vCPU, {machine.memory_gib:g} GiB{beside}"
