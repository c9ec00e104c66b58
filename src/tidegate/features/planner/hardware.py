"""The hardware that a model may run on: processors, GPUs or Inferentia, by its kind, its frameworks and the
answers."""

import math
import re
from collections.abc import Mapping
from typing import Any

from tidegate.domain.memory_sizes import parse_bytes
from tidegate.features.planner import units
from tidegate.features.planner.tables import table
from tidegate.serving.contract.catalogue import RuntimeKind

CPU, GPU, INFERENTIA, ANY = "cpu", "gpu", "inferentia", "any"
Facts = Mapping[str, Any]


def _family_hardware(name: str) -> str:
    """Return the hardware of an instance type by its family's name: ``ml.g5.xlarge`` has a GPU."""
    family = name.removeprefix("ml.").partition(".")[0]
    if re.match(r"(inf|trn)\d", family):
        return INFERENTIA
    return GPU if re.match(r"(g|p)\d", family) else CPU


def is_arm(name: str) -> bool:
    """Whether an instance type has Arm processors (Graviton): ``c7g``, ``r7gd``, ``g5g``."""
    return bool(re.match(r"[a-z]+\d+g", name.removeprefix("ml.").partition(".")[0]))


def serving(facts: Facts) -> tuple[str, ...]:
    """Return those of the frameworks that serve the kind of model; code of one's own only where no other does."""
    able = tuple(
        one for one in facts["frameworks"] if facts["model_kind"] in RuntimeKind(one).descriptor.model_kinds
    )
    return tuple(one for one in able if one != "python") or able


def derive_facts(facts: Facts) -> dict[str, Any]:
    """Derive the facts of the hardware: ``usable`` (by the frameworks), ``runs_on`` (empty where nothing serves it),
    ``accelerated`` (nothing but an accelerator), ``work_times`` (seconds of one request by hardware),
    ``processor_time`` (an estimate of them on processors, where there is one) and ``processing_time``."""
    kind = table("compute")["kinds"][facts["model_kind"]]
    able = {one for name in serving(facts) for one in RuntimeKind(name).descriptor.hardware}
    asked = _family_hardware(facts["instance_type"]) if facts["instance_type"] else facts["hardware"]
    times = {one: _time(facts, kind, one) for one in (CPU, GPU, INFERENTIA)}
    named = (asked,) if asked in able else ()
    runs_on = _kind_hardware(facts, kind, able) if asked == ANY else named
    first = runs_on[0] if runs_on else CPU
    return {
        "usable": tuple(one for one in (CPU, GPU, INFERENTIA) if one in able),
        "runs_on": runs_on,
        "hardware_asked": asked,
        "kind_served": bool(serving(facts)),
        "hardware_served": bool(runs_on) or not able,
        "accelerated": bool(runs_on) and CPU not in runs_on,
        "processor_untimed": first == CPU and CPU not in kind["hardware"] and _untimed(facts) and GPU in able,
        "work_times": times,
        "processor_time": _estimate(facts, kind, CPU) if "time" in kind else None,
        "processing_time": times[first],
        "model_parts": len(serving(facts)) if facts["stages"] or facts["separate_invocation"] else 1,
    }


def _kind_hardware(facts: Facts, kind: Mapping[str, Any], able: set[str]) -> tuple[str, ...]:
    found = tuple(one for one in kind["hardware"] if one in able)
    if "time" in kind and CPU in found and len(found) > 1:
        stated = facts["processing_time"]
        within = units.seconds(kind["cpu_within"])
        bound = 2 * stated if stated is not None else min(within, facts["latency"] or within)
        if _estimate(facts, kind, CPU) > bound:
            found = tuple(one for one in found if one != CPU)
    return found or ((CPU,) if CPU in able else ())


def _time(facts: Facts, kind: Mapping[str, Any], hardware: str) -> float:
    if facts["processing_time"] is not None:
        return float(facts["processing_time"])
    return _estimate(facts, kind, hardware) if "time" in kind else units.seconds(kind["processing_time"])


def _estimate(facts: Facts, kind: Mapping[str, Any], hardware: str) -> float:
    size, time = float(facts["model_size"]), kind["time"][CPU if hardware == CPU else "accelerator"]
    # A model that is spread over several accelerators is read by all of them at a time.
    spread = 1 if hardware == CPU else max(1, math.ceil(size / parse_bytes(time["each"])))
    return units.seconds(time["base"]) + units.seconds(time["per_gb"]) * size / spread / 1e9


def _untimed(facts: Facts) -> bool:
    return facts["processing_time"] is None and facts["capacity"] is None
