"""How fast a language model writes, beside figures that others published."""

import pytest

from tidegate.domain.errors import Invalid
from tidegate.features.planner import planning as planner
from tidegate.features.planner.language_models import Accelerator, LanguageModel, generate
from tidegate.features.planner.planning import Plan
from tidegate.features.planner.sizing import FleetSize
from tidegate.prices import Catalogue

CATALOGUE = Catalogue.load()
HBM, GDDR = 0.65, 0.8
CARDS = {
    "A100 80GB": Accelerator(2039e9, 312e12, HBM),
    "H100 PCIe": Accelerator(2039e9, 756e12, HBM),
    "RTX A6000": Accelerator(768e9, 155e12, GDDR),
    "RTX 6000 Ada": Accelerator(960e9, 364e12, GDDR),
    "RTX 3090": Accelerator(936e9, 142e12, GDDR),
}
"""Bandwidth and dense 16-bit compute by their data sheets."""
F16_7B, Q4_7B, F16_13B = (13.48e9, 6.74e9), (3.82e9, 6.74e9), (26.0e9, 13.0e9)
Q4_70B, F16_8B = (38.9e9, 69.0e9), (16.06e9, 8.03e9)
PUBLISHED = [
    ("A100 80GB", F16_7B, 73.83),
    ("A100 80GB", Q4_7B, 136.24),
    ("A100 80GB", Q4_70B, 25.68),
    ("H100 PCIe", F16_7B, 83.32),
    ("H100 PCIe", Q4_70B, 25.88),
    ("RTX A6000", F16_7B, 44.01),
    ("RTX A6000", Q4_7B, 111.57),
    ("RTX A6000", Q4_70B, 15.18),
    ("RTX A6000", F16_13B, 24.65),
    ("RTX 6000 Ada", F16_7B, 50.56),
    ("RTX 6000 Ada", Q4_70B, 17.02),
    ("RTX 6000 Ada", F16_13B, 26.88),
]
"""Tokens a second of Llama 2 by llama.cpp, one answer at a time: the tables of December 2023 in the repository
GPU-Benchmarks-on-LLM-Inference by Xiongjie Dai."""


@pytest.mark.parametrize(("card", "model", "published"), PUBLISHED)
def test_tokens_a_second_are_within_thirty_percent_of_published_figures(
    card: str, model: tuple[float, float], published: float
) -> None:
    made = generate(LanguageModel(*model, prompt=10, answer=512), CARDS[card], batch=1)
    assert 0.7 <= 1 / made.per_token / published <= 1.3


@pytest.mark.parametrize(
    ("card", "model", "published"),
    [
        ("A100 80GB", F16_7B, 8381.0),  # llama.cpp, pull request 6017, 512 tokens, 2024
        ("RTX 3090", F16_8B, 4444.65),  # Xiongjie Dai, May 2024, 512 tokens
    ],
)
def test_a_prompt_is_read_within_thirty_percent_of_published_figures(
    card: str, model: tuple[float, float], published: float
) -> None:
    made = generate(LanguageModel(*model, prompt=10_000, answer=1), CARDS[card], batch=1)
    assert 0.7 <= 10_000 / made.first_token / published <= 1.3


def made(**given: object) -> Plan:
    answers = {"name": "x", "rate": 0.5, "model_kind": "llm", "frameworks": ["pytorch"], **given}
    return planner.plan(planner.read(answers), CATALOGUE)


@pytest.mark.parametrize(("name", "bandwidth"), [("ml.g6.xlarge", 300e9), ("ml.g6e.12xlarge", 4 * 864e9)])
def test_an_answer_takes_no_less_than_the_memory_needs_to_read_the_weights(name: str, bandwidth: float) -> None:
    plan = made(model_size="14 GB", instance_type=name)
    assert plan.facts["processing_time"] > 200 * 14e9 / bandwidth
    assert "tokens/s" in plan.rows[2].value and "first token after" in plan.rows[2].value


def test_longer_answers_take_longer_and_faster_accelerators_less() -> None:
    short, long = (
        made(model_size="14 GB", answer_tokens=n, instance_type="ml.g6.xlarge").facts["processing_time"]
        for n in (100, 400)
    )
    assert long > 2 * short
    slow, fast = (
        made(model_size="14 GB", instance_type=name).facts["processing_time"]
        for name in ("ml.g6.xlarge", "ml.g6e.xlarge")
    )
    assert 2 < slow / fast < 3


def test_a_type_that_cannot_write_in_time_is_not_chosen() -> None:
    plan = made(model_size="16 GB", latency="8s")
    assert isinstance(plan.size, FleetSize) and plan.facts["processing_time"] <= 8
    with pytest.raises(Invalid, match="answer_tokens: the fastest instance takes"):
        made(model_size="140 GB", latency="1s")


def test_a_stated_time_of_a_large_model_is_that_of_an_accelerator() -> None:
    plan = made(model_size="16 GB", processing_time="30s", frameworks=["gguf"])
    assert isinstance(plan.size, FleetSize) and plan.size.type.kind == "gpu"
    measured = made(model_size="16 GB", processing_time="10s", measured_on="cpu", frameworks=["gguf"])
    assert "cpu" in measured.facts["runs_on"] and "cpu" not in plan.facts["runs_on"]
