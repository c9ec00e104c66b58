"""The tables of layers in docs/dev/architecture.md are the import contracts."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
ROW = re.compile(r"^\| (\d+) \| ((?:`[\w./]+` ?)+)\|", re.MULTILINE)


@pytest.mark.parametrize(("table", "container"), [(0, "tidegate"), (1, "tidegate.serving")])
def test_the_table_of_layers_is_the_contract(table: int, container: str) -> None:
    pages = (
        (ROOT / "docs" / "dev" / "architecture.md").read_text().split("| Layer | Packages | What they hold |")[1:]
    )
    rows = ROW.findall(pages[table].split("\n\n")[0])
    documented = [set(re.findall(r"`(\w+)", packages)) for _, packages in rows]
    contract = next(one for one in CONTRACTS if one["type"] == "layers" and one["containers"] == [container])
    assert documented == [{name.strip() for name in layer.split("|")} for layer in contract["layers"]]
    assert [int(number) for number, _ in rows] == list(range(len(rows), 0, -1))
