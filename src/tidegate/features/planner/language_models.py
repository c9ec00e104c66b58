"""How fast a language model writes: a prompt is read at the speed of the compute, and each token of an answer reads
all weights once, at the speed of the memory (the roofline model of Williams, Waterman and Patterson, 2009)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.features.planner import units
from tidegate.features.planner.tables import table

GIGA, TERA, BITS = 1e9, 1e12, 8
EIGHT_BILLION = 8e9


@dataclass(frozen=True)
class Accelerator:
    """``bandwidth`` in bytes a second, ``compute`` in operations a second, ``reads`` the part of the bandwidth that
    generation reaches, ``memory`` in bytes. Several that one model is spread over count as one."""

    bandwidth: float
    compute: float
    reads: float
    memory: float = math.inf


@dataclass(frozen=True)
class LanguageModel:
    """``size`` in bytes of all weights, ``weights`` their number, ``prompt`` and ``answer`` in tokens."""

    size: float
    weights: float
    prompt: int
    answer: int

    @property
    def context_bytes(self) -> float:
        """Bytes of keys and values of one token of the context."""
        book = table("accelerators")["context"]
        larger: float = (self.weights / EIGHT_BILLION) ** float(book["power"])
        return float(book["of_8_billion"]) * larger


@dataclass(frozen=True)
class Generation:
    """``first_token`` and ``per_token`` are seconds of one answer, of which ``batch`` are written at a time."""

    first_token: float
    per_token: float
    batch: int
    tokens: int

    @property
    def seconds(self) -> float:
        """Seconds of a whole answer."""
        return self.first_token + self.tokens * self.per_token

    @property
    def capacity(self) -> float:
        """Answers a second: while a prompt is read, the other answers wait."""
        return self.batch / (self.batch * self.first_token + self.tokens * self.per_token)


def accelerator(name: str, count: int, gib: float) -> Accelerator:
    """``count`` accelerators of this name that one model is spread over, each with ``gib`` of memory."""
    book = table("accelerators")
    row = book["accelerators"][name]
    share = count * (float(book["spread"]) if count > 1 else 1.0)
    return Accelerator(
        row["bandwidth"] * GIGA * share, row["compute"] * TERA * share, row["reads"], count * gib * 2**30
    )


def generate(model: LanguageModel, on: Accelerator, batch: int) -> Generation:
    """The speed of ``batch`` answers at a time, each halfway through its answer."""
    book = table("accelerators")
    compute = on.compute * float(book["prefill"])
    first = units.seconds(book["request_overhead"]) + 2 * model.weights * model.prompt / compute
    read = model.size + batch * model.context_bytes * (model.prompt + model.answer / 2)
    step = max(read / (on.bandwidth * on.reads), 2 * model.weights * batch / compute)
    return Generation(first, units.seconds(book["token_overhead"]) + step, batch, model.answer)


def serve(model: LanguageModel, on: Accelerator, latency: float | None) -> Generation:
    """The largest batch whose contexts fit the memory, and whose answers come within the latency; one answer at a
    time where none does."""
    book = table("accelerators")
    alone = generate(model, on, 1)
    within = latency if latency is not None else alone.seconds * float(book["slower"])
    context = model.context_bytes * (model.prompt + model.answer)
    room = (on.memory * float(book["memory"]) - model.size) / context
    fitting = (generate(model, on, batch) for batch in book["batches"] if batch <= max(1.0, room))
    return max((one for one in fitting if one.seconds <= within), key=lambda one: one.batch, default=alone)


def time_allowed(facts: Mapping[str, Any]) -> float | None:
    """Seconds that an answer may take; in a job, where nobody waits for one, any time."""
    latency: float | None = facts["latency"]
    return latency if facts["individual_responses"] else math.inf


def model_of(facts: Mapping[str, Any]) -> LanguageModel:
    """The model and its requests, as the answers say."""
    bits = facts["weight_bits"]
    usual = table("accelerators")["quantised_bits"] if "gguf" in facts["frameworks"] else 16
    weights = facts["model_size"] * BITS / (float(bits) if bits else usual)
    return LanguageModel(facts["model_size"], weights, facts["prompt_tokens"], facts["answer_tokens"])
