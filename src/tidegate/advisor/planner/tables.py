"""The data files that the planner goes by. Code interprets them; what is asked and what follows stands in them."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def table(name: str) -> Any:
    """The content of ``data/NAME.yaml``; shared, so not to be changed."""
    text = (files("tidegate.advisor.planner") / "data" / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=_Loader)


class _Loader(yaml.SafeLoader):
    """Keys such as true and false, as a branch of the flowchart has them, become text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made = super().construct_mapping(node, deep=True)
        return {str(key).lower() if isinstance(key, bool) else key: value for key, value in made.items()}
