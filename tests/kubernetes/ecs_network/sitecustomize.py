"""Gives the containers of a task one network, as ``awsvpc`` does at ECS. ministack, which imports this at its start,
gives each a network of its own."""

from typing import Any

from ministack.services import ecs  # type: ignore[import-not-found]

make_arguments = ecs._build_run_kwargs


def share_network(container: dict[str, Any], definition: dict[str, Any], *more: Any) -> dict[str, Any]:
    made: dict[str, Any] = make_arguments(container, definition, *more)
    first = definition["containerDefinitions"][0]["name"]
    if container["name"] != first:
        name = made["name"].removesuffix(container["name"]) + first
        made = {key: value for key, value in made.items() if key not in ("network", "extra_hosts", "ports")}
        made["network_mode"] = f"container:{name}"
    return made


ecs._build_run_kwargs = share_network
