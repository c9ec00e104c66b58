"""Third stage: lines of text to the fields of a wage statement.

The setting ``decimals`` of ``stage.json``: ``last`` takes the last comma or point of an amount for its decimal
separator, as both 1,234.56 and 1.234,56 need it; ``point`` always takes the point.
"""

import json
import re
from pathlib import Path

LABELS = {
    "employer": r"employer",
    "employee": r"employee",
    "tax_id": r"tax\W{0,3}[i1l][do0]",
    "year": r"year",
    "wages": r"gross\W{0,3}wages",
    "tax": r"tax\W{0,3}withheld",
    "social": r"social\W{0,3}security",
}
AMOUNTS = ("wages", "tax", "social")


class Stage:
    def __init__(self, model_dir: str) -> None:
        self.last = json.loads(Path(model_dir, "stage.json").read_text())["decimals"] == "last"

    def predict(self, body: str) -> tuple[str, str]:
        fields: dict[str, object] = {}
        for line in body.splitlines():
            for name, label in LABELS.items():
                found = re.match(rf"\W*{label}\b\W{{0,6}}(.*)", line, re.IGNORECASE)
                if found and name not in fields:
                    fields[name] = self._value(name, found[1].strip(" .:|_-"))
        return json.dumps({name: fields.get(name) for name in LABELS}), "application/json"

    def _value(self, name: str, text: str) -> object:
        if name in AMOUNTS:
            return self._amount(text)
        return " ".join(text.split()) or None

    def _amount(self, text: str) -> float | None:
        digits = "".join(re.findall(r"[\d.,]", text)).strip(".,")
        if self.last:
            whole, mark, part = re.fullmatch(r"(.*?)([.,]?)(\d*)", digits).groups()  # type: ignore[union-attr]
            digits = re.sub(r"[.,]", "", whole) + ("." if mark else "") + part
        else:
            digits = digits.replace(",", "")
        try:
            return round(float(digits), 2)
        except ValueError:
            return None
