"""Every table of the store is listed in the documentation with what bounds it."""

import re
from pathlib import Path

from tidegate.store.tables import METADATA, VERSION_TABLE

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def test_every_table_has_a_bound_that_is_documented() -> None:
    text = OPERATIONS.read_text()
    rows = text[text.index("| Table | Grows with |") :].split("\n\n")[0]
    listed = re.findall(r"^\| `(\w+)` \|[^|]*\| [^|]*\w[^|]* \|$", rows, re.MULTILINE)
    assert sorted(listed) == sorted([*METADATA.tables, VERSION_TABLE])
