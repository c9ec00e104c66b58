"""A bill as a table for people and as a document for programs."""

from typing import Any

from rich.console import Console
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.output import print_note
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.features.cost.bill import Bill


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
    _show_table(out, bill, part)
    spread = f" ({bill.month_low:,.2f} to {bill.month_high:,.2f} by source)" if bill.high > bill.low else ""
    out.print(Text(f"${bill.month:,.2f} a month{spread}, ${bill.total:,.2f} a year", style="bold"))
    rates = {line.rate.item: line.rate for line in bill.lines}
    for rate in rates.values():
        rate_note = f", {rate.note}" if rate.note else ""
        out.print(Text(f"  {rate.item} {rate.region}, {rate.date}: {rate.source}{rate_note}", style="dim"))
    for warning in bill.warnings:
        print_note(f"warning: {warning}")


def _show_table(out: Console, bill: Bill, part: float) -> None:
    shown = Table(key("WHAT"), number("A MONTH"), key("UNIT"), number("RATE"), number("$"), sentence("WHY"))
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
