"""A bill as a table for people and as a document for programs."""

import textwrap
from typing import Any

from rich.console import Console
from rich.text import Text

from tidegate.advisor.cost.bill import Bill, Line
from tidegate.cli import draw
from tidegate.cli.output import print_note

WIDE = 130
"""Columns from which on the table fits."""


def bill_document(bill: Bill) -> dict[str, Any]:
    """For programs: dollars a month and a year, and every line."""
    return {
        "month": {"amount": bill.month, "low": bill.month_low, "high": bill.month_high},
        "year": {"amount": bill.total, "low": bill.low, "high": bill.high},
        "lines": [
            {
                "item": line.item,
                "quantity": line.quantity,
                "unit": line.unit,
                "rate": line.rate.amount,
                "amount": line.amount,
                "low": line.low,
                "high": line.high,
                "why": line.why,
                "source": line.rate.source,
                "date": line.rate.date.isoformat(),
                "region": line.rate.region,
            }
            for line in bill.lines
        ],
        "warnings": list(bill.warnings),
    }


def show_bill(out: Console, bill: Bill) -> None:
    """Every line for a month, the sum with its range, and where the rates are from."""
    part = bill.month / bill.total if bill.total else 0.0
    if out.width < WIDE:
        for line in bill.lines:
            _show_record(out, line, part)
    else:
        _show_table(out, bill, part)
    spread = f" ({bill.month_low:,.2f} to {bill.month_high:,.2f} by source)" if bill.high > bill.low else ""
    out.print(Text(f"${bill.month:,.2f} a month{spread}, ${bill.total:,.2f} a year", style="bold"))
    rates = {line.rate.item: line.rate for line in bill.lines}
    for rate in rates.values():
        told_rate = f", {rate.note}" if rate.note else ""
        out.print(Text(f"  {rate.item} {rate.region}, {rate.date}: {rate.source}{told_rate}", style="dim"))
    for warning in bill.warnings:
        print_note(f"warning: {warning}")


def _show_table(out: Console, bill: Bill, part: float) -> None:
    shown = draw.make_table("WHAT", ">A MONTH", "UNIT", ">RATE", ">$", "WHY")
    for line in bill.lines:
        shown.add_row(
            line.item,
            draw.format_number(line.quantity * part, 1),
            line.unit,
            draw.format_rate(line.rate.amount),
            draw.format_number(line.amount * part, 2),
            line.why,
        )
    out.print(shown)


def _show_record(out: Console, line: Line, part: float) -> None:
    """A line on a narrow screen, where a table would lose its figures."""
    month = draw.format_number(line.amount * part, 2)
    of = f"{draw.format_number(line.quantity * part, 1)} {line.unit} at ${draw.format_rate(line.rate.amount)}"
    out.print(Text.assemble((f"{month:>12}  ", "bold"), f"{line.item}, {of}"))
    for text in textwrap.wrap(line.why, out.width - 14):
        out.print(Text(f"{'':14}{text}", style="dim"))
