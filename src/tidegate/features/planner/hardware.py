"""The hardware that a model may run on: processors, GPUs or Inferentia, by its kind, its frameworks and the
answers."""

import math
import re
from collections.abc import Mapping
from typing import Any

from tidegate.domain.memory_sizes import parse_bytes
from tidegate.features.planner import units
from tidegate.features.planner.language_models import accelerator, model_of, serve, time_allowed
from tidegate.features.planner.tables import table
from tidegate.serving.contract.catalogue import RuntimeKind

CPU, GPU, INFERENTIA, ANY = "cpu", "gpu", "inferentia", "any"
Facts = Mapping[str, Any]
REFERENCE_GIB = 24.0
"""Memory of an accelerator before a type is chosen."""


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
    runs_on = _kind_hardware(facts, kind, able, times) if asked == ANY else named
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
        "processor_time": times[CPU] if "time" in kind else None,
        "processing_time": times[first],
        "model_parts": len(serving(facts)) if facts["stages"] or facts["separate_invocation"] else 1,
    }


def _kind_hardware(facts: Facts, kind: Mapping[str, Any], able: set[str], times: Facts) -> tuple[str, ...]:
    found = tuple(one for one in kind["hardware"] if one in able)
    if "cpu_within" in kind and CPU in found and len(found) > 1:
        within = units.seconds(kind["cpu_within"])
        measured = facts["processing_time"] is not None and facts["measured_on"] == CPU
        if times[CPU] > min(within, facts["latency"] or within) and not measured:
            found = tuple(one for one in found if one != CPU)
    return found or ((CPU,) if CPU in able else ())


def _time(facts: Facts, kind: Mapping[str, Any], hardware: str) -> float:
    """Seconds of one request: estimated, or as stated, and then by the proportion of the estimates where it was
    measured on other hardware."""
    stated = facts["processing_time"]
    if stated is None:
        return _estimate(facts, kind, hardware)
    measured = measured_on(facts)
    if hardware == measured or facts["capacity"] is not None:
        return float(stated)
    return float(stated) * _estimate(facts, kind, hardware) / _estimate(facts, kind, measured)


def measured_on(facts: Facts) -> str:
    """Return the hardware on which a stated time was measured: as answered, or as is usual."""
    kind = table("compute")["kinds"][facts["model_kind"]]
    if facts["measured_on"] is not None:
        return str(facts["measured_on"])
    if facts["hardware"] != ANY or facts["instance_type"]:
        return _family_hardware(facts["instance_type"]) if facts["instance_type"] else str(facts["hardware"])
    large = "cpu_size" in kind and facts["model_size"] > parse_bytes(kind["cpu_size"])
    usual = [one for one in kind["hardware"] if not large or one != CPU]
    return str(usual[0])


def _estimate(facts: Facts, kind: Mapping[str, Any], hardware: str) -> float:
    if "time" not in kind:
        usual = units.seconds(kind["processing_time"])
        slower = table("compute")["processor_slower"] if CPU not in kind["hardware"] else 1
        return usual * slower if hardware == CPU else usual
    if hardware == CPU:
        time = kind["time"]
        words = float(facts["answer_tokens"]) / float(time["tokens"])
        return (
            units.seconds(time["base"]) + units.seconds(time["per_gb"]) * float(facts["model_size"]) / 1e9 * words
        )
    model = model_of(facts)
    name = table("accelerators")["reference"][hardware]
    count = max(1, math.ceil(model.size * table("compute")["memory"]["working"] / (REFERENCE_GIB * 2**30)))
    return serve(model, accelerator(name, count, REFERENCE_GIB), time_allowed(facts)).seconds


def _untimed(facts: Facts) -> bool:
    return facts["processing_time"] is None and facts["capacity"] is None
