"""The data files that the planner goes by. Code interprets them; what is asked and what follows stands in them."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from tidegate.serving.contract.catalogue import RuntimeKind


@cache
def table(name: str) -> Any:
    """The content of ``data/NAME.yaml``; shared, so not to be changed."""
    text = (files("tidegate.features.planner") / "data" / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=_Loader)


class _Loader(yaml.SafeLoader):
    """Keys such as true and false, as a branch of the flowchart has them, become text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made = super().construct_mapping(node, deep=True)
        return {str(key).lower() if isinstance(key, bool) else key: value for key, value in made.items()}

    def construct_runtimes(self, node: yaml.Node) -> Any:
        """``!runtimes``: the runtimes that a plan may name, as choices, or within a text in place of ``{}``."""
        names = [str(kind) for kind in RuntimeKind if kind.descriptor.planner_data]
        if isinstance(node, yaml.ScalarNode):
            return self.construct_scalar(node).format(", ".join(names))
        return dict.fromkeys(names, "")


_Loader.add_constructor("!runtimes", _Loader.construct_runtimes)
