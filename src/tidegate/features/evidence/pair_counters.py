"""What is counted of the pairs of one variant, by the comparisons that were asked for. No I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tidegate.domain.evidence import Comparison, EvidenceConfig, Sums
from tidegate.domain.pairs import Pair
from tidegate.features.evidence.features import MOST_COLUMNS, FeatureCounter
from tidegate.features.evidence.pair_judge import pair_key
from tidegate.features.evidence.pairs import PairCounter
from tidegate.features.evidence.units import Unit

MOST_VALUES = 20_000
"""Values of columns that are compared at once (some tens of milliseconds)."""


@dataclass
class PairCounters:
    predictions: PairCounter | None
    features: FeatureCounter | None

    @classmethod
    def begin(cls, config: EvidenceConfig, known: Unit | None = None) -> "PairCounters":
        """``known``: the unit of predictions, where it is known beforehand."""
        paired, features = Comparison.PAIRED in config.compare, Comparison.FEATURES in config.compare
        return cls(
            PairCounter(config.slices, known) if paired else None,
            FeatureCounter(config.features) if features else None,
        )

    def add(self, pairs: Sequence[Pair], most: int = MOST_VALUES) -> int:
        """Count pairs of the open block, as they arrive. ``most``: values of columns that may be compared; pairs
        beyond count as if their stages had not been asked for. Returns how many were compared."""
        if self.predictions is not None:
            self.predictions.add(pairs)
        return 0 if self.features is None else _add_rows(self.features, pairs, most)

    def close(self, variant: str) -> dict[str, Sums]:
        """The sums of the block, which ends, by their keys in it."""
        found: dict[str, Sums] = {}
        if self.predictions is not None:
            sums = self.predictions.close()
            found |= {pair_key(variant, Comparison.PAIRED, name): one for name, one in sums.items()}
        if self.features is not None:
            sums = self.features.close()
            found |= {pair_key(variant, Comparison.FEATURES, name): one for name, one in sums.items()}
        return found

    def take_units(self, variant: str) -> dict[str, float]:
        """What one unit of predictions is, by its key in the block that has been closed last."""
        units = {} if self.predictions is None else self.predictions.take_units()
        return {pair_key(variant, Comparison.PAIRED, part): size for part, size in units.items()}

    def count(self, variant: str, pairs: Sequence[Pair]) -> dict[str, Sums]:
        """The sums of a block that has these pairs."""
        self.add(pairs)
        return self.close(variant)


def _add_rows(counter: FeatureCounter, pairs: Iterable[Pair], most: int) -> int:
    """Which pairs are counted follows from how wide they are and when they came, and not from what they hold."""
    compared, taken = 0, list[Pair]()
    for pair in pairs:
        if pair.traced and compared < most:
            compared += sum(min(len(row.names), MOST_COLUMNS) for row in pair.features)
            taken.append(pair)
    counter.add(taken)
    return compared
