"""How a new version gets its traffic: the playbook's presets, and the rule for any other model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.features.planner import rules, units
from tidegate.features.planner.tables import table

WHOLE = 1.0


@dataclass(frozen=True)
class Strategy:
    """``rollout`` is the section of a spec; ``preset`` the playbook's name, None for the rule. ``instances``: of
    which a size without a percent sign is a part."""

    kind: str
    rollout: Mapping[str, Any]
    preset: str | None
    because: str
    change: str
    instances: int = 0

    @property
    def first_part(self) -> float:
        """The part of the traffic (0 to 1) that a new version gets first."""
        given = self.rollout.get("size") or self.rollout.get("step") or self.rollout.get("batch")
        if given is None:
            return WHOLE
        return float(given.rstrip("%")) / 100 if given.endswith("%") else int(given) / self.instances

    @property
    def wait(self) -> float:
        """Seconds of the first bake; 0 without one."""
        bake = self.rollout.get("wait") or self.rollout.get("final_bake")
        return 0.0 if bake is None else units.seconds(bake)

    @property
    def title(self) -> str:
        """``Linear: 25 % steps, 1-hour bake``."""
        part = units.format_percent(self.first_part)
        if self.instances and not str(self.rollout.get("size") or self.rollout.get("step")).endswith("%"):
            part += f" ({round(self.first_part * self.instances)} of {self.instances} instances)"
        told = {"part": part, "wait": _adjective(self.wait)}
        title: str = table("strategies")["titles"][self.kind]
        return title.format(**told)

    @property
    def risk(self) -> tuple[int, float, float]:
        """Greater is riskier: the kind in the order of ``data/strategies.yaml``, the first part, the shorter wait."""
        order: list[str] = table("strategies")["order"]
        return len(order) - order.index(self.kind), self.first_part, -self.wait


def strategy(facts: Mapping[str, Any]) -> Strategy:
    """The preset that the answers name, or what the rule gives for them."""
    book = table("strategies")
    preset = facts["playbook"]
    if preset in book["presets"]:
        return _make_strategy(book["presets"][preset], preset)
    return _make_strategy(book["strategies"][rules.first(book["rules"], facts)["use"]], None)


def _make_strategy(given: Mapping[str, Any], preset: str | None) -> Strategy:
    change: Mapping[str, str] = table("strategies")["change"]
    kind = given["rollout"]["strategy"]
    rollout = {key: str(value) for key, value in given["rollout"].items()}
    return Strategy(kind, rollout, preset, given["because"], change["preset" if preset else kind])


def _adjective(seconds: float) -> str:
    """``1-hour``, ``30-minute``."""
    return f"{seconds / 3600:g}-hour" if seconds >= 3600 else f"{seconds / 60:g}-minute"
