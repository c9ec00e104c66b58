"""Notes on a spec whose comparison of predictions may see little, or nothing. Pure."""

from collections.abc import Iterator

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.evidence import Comparison, PairedTolerance
from tidegate.domain.registry import ContainerDefinition

BY_TEXT = "TEXT_REFUSALS"
"""Variable of a model that writes."""


def evidence_notes(wish: DesiredDeployment) -> Iterator[str]:
    """What a person should know before a rollout is held or rolled back for it, or passes in spite of it."""
    config = wish.deployment.evidence
    if config is None or Comparison.PAIRED not in config.compare:
        return
    writing = [one.name for one in wish.models if _writes(one.containers[-1])]
    if writing:
        yield (
            f"evidence.compare: paired compares predictions that are numbers, and {', '.join(writing)} writes text:"
            " the rollout will end without evidence; compare text instead"
        )
    elif config.replay is None and config.paired == PairedTolerance():
        yield (
            "evidence: if predictions are amounts (not scores from 0 to 1), paired by its default tolerances misses"
            " faults that raise a precise model's error by up to half; give labelled rows (replay), or the tolerances"
            " that 'tidegate compare OLD NEW --with honest=A,B,C' learns from honest trainings"
        )


def _writes(container: ContainerDefinition) -> bool:
    image, data = container.image.partition(":")[0], container.data_url or ""
    return image.rpartition("/")[2] == "gguf" or data.endswith(".gguf") or BY_TEXT in container.environment
