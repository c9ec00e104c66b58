"""Fourth stage: whether the fields can be right: none is missing, and social security is 6.2 % of the wages."""

import json
import re

RATE = 0.062
"""Of the wages, for social security (26 U.S.C. 3101)."""


class Stage:
    def predict(self, body: str) -> tuple[str, str]:
        fields = json.loads(body)
        problems = [f"{name} was not read" for name, value in fields.items() if value is None]
        wages, social, tax = (fields.get(name) for name in ("wages", "social", "tax"))
        if wages is not None and social is not None and abs(social - RATE * wages) > max(0.02, 0.002 * social):
            problems.append(f"social security is {social}, and {RATE:.1%} of the wages are {RATE * wages:.2f}")
        if wages is not None and tax is not None and not 0 <= tax < wages:
            problems.append(f"the tax of {tax} does not fit wages of {wages}")
        if not re.fullmatch(r"\d{2}-\d{7}", fields.get("tax_id") or ""):
            problems.append("the tax ID is not two digits, a hyphen and seven digits")
        return json.dumps({"fields": fields, "valid": not problems, "problems": problems}), "application/json"
