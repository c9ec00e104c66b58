"""Formats amounts of money."""


def format_dollars(amount: float) -> str:
    """$1,153, $74.46, $0.012."""
    if amount >= 1000:
        return f"${amount:,.0f}"
    if amount >= 0.1 or amount == 0:
        return f"${amount:,.2f}"
    return f"${amount:.3g}"
