"""Model data put into a spec: where each container's model is."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.domain.errors import Invalid


def with_models(spec: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """``given`` has an address for the model, or ``NAME=ADDRESS`` for each container. Raises Invalid."""
    made = copy.deepcopy(dict(spec))
    if "model" in made:
        if len(given) != 1:
            raise Invalid(f"model data is given {len(given)} times, and there is one model")
        made["model"]["data"] = given[0]
        return made
    containers = {one["name"]: one for one in made.get("pipeline") or made["containers"]}
    for text in given:
        name, mark, address = text.partition("=")
        if not mark or name not in containers:
            raise Invalid(
                f"model data {text!r}: expected NAME=ADDRESS, where NAME is one of {', '.join(containers)}"
            )
        containers[name]["data"] = address
    return made
