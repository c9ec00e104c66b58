"""The cost that an endpoint's instances would have had so far at SageMaker's prices on demand, and the cost of a
month. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidegate.console.figures import UNKNOWN, format_dollars
from tidegate.domain.rollout import Version
from tidegate.features.cost.bill import Tariff
from tidegate.features.cost.on_demand import SERVERLESS
from tidegate.prices import HOSTING

LOCAL_TYPE = "local"
MONTH_HOURS = 730
STAND_IN = "ml.c5.large"
"""Priced where no instance type is known."""
HOUR = 3600.0
UNITS: Mapping[str, str] = {"hours": "an hour", "GB-seconds": "each"}


@dataclass(frozen=True)
class EndpointUsage:
    """The usage of one endpoint. ``hours``: instance type -> instance-hours since ``since``. ``gb_seconds``: of
    serverless variants, since ``requests_since``; None: it has none."""

    created: datetime
    since: datetime
    until: datetime
    hours: Mapping[str, float]
    gb_seconds: float | None = None
    requests_since: datetime | None = None


def price(used: EndpointUsage, tariff: Tariff) -> dict[str, Any]:
    """Price the usage as a JSON document. ``dollars`` is None if nothing of it has a price."""
    lines, left_out = [], []
    for kind, hours in sorted(used.hours.items()):
        priced = STAND_IN if kind == LOCAL_TYPE else kind
        if not tariff.has(HOSTING + priced):
            left_out.append(kind)
            continue
        lines.append(_line(tariff, HOSTING + priced, kind, priced if priced != kind else None, hours, "hours"))
    item = f"{SERVERLESS}/gb-second"
    if used.gb_seconds is not None:
        lines.append(_line(tariff, item, "serverless", None, used.gb_seconds, "GB-seconds"))
    since = min(used.since, used.requests_since) if used.requests_since and not used.hours else used.since
    return {
        "since": since.isoformat(),
        "until": used.until.isoformat(),
        "complete": since <= used.created and (used.requests_since is None or used.requests_since <= used.created),
        "requests_since": used.requests_since.isoformat() if used.requests_since else None,
        "region": tariff.region,
        "prices_of": min((line["price_of"] for line in lines), default=None),
        "lines": lines,
        "left_out": left_out,
        "dollars": sum(line["dollars"] for line in lines) if lines or not left_out else None,
    }


def _line(
    tariff: Tariff, item: str, kind: str, stand_in: str | None, quantity: float, unit: str
) -> dict[str, Any]:
    rate = tariff.rate(item)
    return {
        "of": kind,
        "priced_as": stand_in,
        "quantity": quantity,
        "unit": unit,
        "price": rate.amount,
        "price_of": rate.date.isoformat(),
        "dollars": quantity * rate.amount,
    }


def cost_view(cost: Mapping[str, Any]) -> dict[str, str]:
    """Describe a cost for a page: the amount, and the parts that it consists of."""
    parts = [f"{_quantity(line)} at ${line['price']:.4g} {UNITS[line['unit']]}" for line in cost["lines"]]
    parts += [f"{kind} has no known price and is left out" for kind in cost["left_out"]]
    if any(line["unit"] == "GB-seconds" for line in cost["lines"]):
        parts.append("memory kept ready is counted at the same price")
    if any(line["priced_as"] for line in cost["lines"]):
        parts.append(f"on this machine nothing is billed: {STAND_IN} stands in")
    prices = f", prices of {cost['prices_of']}" if cost["prices_of"] else ""
    gap = "" if cost["complete"] else ", from when on it is known"
    since = max(cost["since"], cost["requests_since"] or cost["since"])
    return {
        "dollars": UNKNOWN if cost["dollars"] is None else _dollars(cost["dollars"]),
        "stands_in": "as if" if any(line["priced_as"] for line in cost["lines"]) else "",
        "about": f"{'; '.join(parts) or 'no instances yet'}{prices}, {cost['region']}",
        "since": f"since {since[:16].replace('T', ' ')} UTC{gap}",
    }


def estimate_month(version: Version, tariff: Tariff) -> dict[str, str]:
    """Estimate the cost of a month of the version's instances at AWS, for the instance types that have a price."""
    priced = [variant for variant in version.variants if tariff.has(HOSTING + variant.instance_type)]
    if not priced:
        local = all(variant.instance_type == LOCAL_TYPE for variant in version.variants)
        why = "no instance type is declared" if local else "its instance types have no known price"
        count = sum(variant.instance_count for variant in version.variants)
        month = tariff.hosting(STAND_IN).amount * MONTH_HOURS * count
        as_if = f"{count} x {STAND_IN} on SageMaker would cost {format_dollars(month)} a month"
        return {"month": UNKNOWN, "about": f"{why}, and on this machine nothing is billed; {as_if}"}
    month = sum(
        tariff.hosting(variant.instance_type).amount * MONTH_HOURS * variant.instance_count for variant in priced
    )
    counts = ", ".join(f"{variant.instance_count} x {variant.instance_type}" for variant in priced)
    left = "" if len(priced) == len(version.variants) else "; variants without a known price are left out"
    return {
        "month": format_dollars(month),
        "about": f"{counts} at SageMaker's price on demand, at all hours, without data{left}",
    }


def cost_cell(view: Mapping[str, str]) -> dict[str, str]:
    """Return the cost for a row of the list of endpoints: only the members that do not change each second."""
    return {name: view[name] for name in ("dollars", "stands_in", "since")}


def _dollars(amount: float) -> str:
    """Format an amount to the cent: more digits would change each second."""
    return "< $0.01" if 0 < amount < 0.01 else f"${amount:,.2f}"


def _quantity(line: Mapping[str, Any]) -> str:
    if line["unit"] == "GB-seconds":
        return f"{line['quantity']:,.0f} GB-seconds"
    name = line["priced_as"] or line["of"]
    hours = line["quantity"]
    return (
        f"{hours:,.1f} instance-hours of {name}" if hours >= 1 else f"{60 * hours:.1f} instance-minutes of {name}"
    )
