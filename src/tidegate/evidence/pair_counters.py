"""What is counted of the pairs of one variant, by the comparisons that were asked for. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.domain.evidence import Comparison, EvidenceConfig, Sums
from tidegate.domain.pairs import Pair
from tidegate.evidence.features import FeatureCounter
from tidegate.evidence.pair_judge import pair_key
from tidegate.evidence.pairs import PairCounter


@dataclass
class PairCounters:
    predictions: PairCounter | None
    features: FeatureCounter | None

    @classmethod
    def begin(cls, config: EvidenceConfig) -> "PairCounters":
        paired, features = Comparison.PAIRED in config.compare, Comparison.FEATURES in config.compare
        return cls(
            PairCounter(config.slices) if paired else None, FeatureCounter(config.features) if features else None
        )

    def count(self, variant: str, pairs: Sequence[Pair]) -> dict[str, Sums]:
        """The sums of a block, by their keys in it."""
        found: dict[str, Sums] = {}
        if self.predictions is not None:
            sums = self.predictions.count(pairs)
            found |= {pair_key(variant, Comparison.PAIRED, name): one for name, one in sums.items()}
        if self.features is not None:
            sums = self.features.count([pair for pair in pairs if pair.traced])
            found |= {pair_key(variant, Comparison.FEATURES, name): one for name, one in sums.items()}
        return found
