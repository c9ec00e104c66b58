"""Notes on a spec whose comparison of predictions may see little, or nothing. Pure."""

from collections.abc import Iterator

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.evidence import Comparison, EvidenceConfig, PairedTolerance
from tidegate.domain.registry import ContainerDefinition, Protocol

BY_TEXT = "TEXT_REFUSALS"
"""Variable of a model that writes."""


def evidence_notes(wish: DesiredDeployment) -> Iterator[str]:
    """Yield notes on evidence that will hold a rollout, roll it back or let it pass although it has a fault."""
    config = wish.deployment.evidence
    if config is None:
        return
    if wish.deployment.stick:
        yield (
            "rollout.stick: evidence counts clients, each with its first request in a stage:"
            f" {config.minimum} clients (minimum) must come to each version, and requests"
            f" without {wish.deployment.stick} count one by one"
        )
    yield from _notes_on_reach(wish, config)
    if Comparison.PAIRED not in config.compare:
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


def _notes_on_reach(wish: DesiredDeployment, config: EvidenceConfig) -> Iterator[str]:
    """Yield notes on what cannot be seen of containers and services of the user's."""
    last = [one.containers[-1] for one in wish.models]
    reached = [one.upstream for one in last if one.upstream is not None and not _writes(one)]
    numbers = {Comparison.PREDICTIONS, Comparison.PAIRED} & set(config.compare)
    if numbers and not all(one.prediction for one in reached):
        yield (
            "evidence: of answers of a container or service the first number is taken for the prediction; if they"
            " have others, say where it is (prediction: $.scores[0] in model)"
        )
    if config.slices and reached:
        yield (
            "evidence.slices: columns are read from requests that are rows in JSON or CSV; requests of any other form"
            " are in no slice"
        )


def _writes(container: ContainerDefinition) -> bool:
    image, data = container.image.partition(":")[0], container.data_url or ""
    if container.upstream is not None and container.upstream.protocol is Protocol.OPENAI:
        return True
    return image.rpartition("/")[2] == "gguf" or data.endswith(".gguf") or BY_TEXT in container.environment
