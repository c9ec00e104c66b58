"""A dated rate, an instance type, and what can be wrong when one is asked for."""

from dataclasses import dataclass, replace
from datetime import date

from tidegate.domain.errors import Invalid, NotFound

EVERYWHERE = "*"
"""Region of a row that is the same in all regions."""
HOME = "us-east-1"
"""The region that the packaged catalogue knows best."""
MAIN_REGIONS = (
    *("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-west-2", "eu-central-1"),
    *("ap-northeast-1", "ap-southeast-1", "ap-southeast-2"),
)
"""Plans are made for these with whatever is packaged; ``tidegate cost prices update`` gets their prices."""


class BadPrices(Invalid):
    """A file of prices that cannot be read; the message names file, line and column."""


class UnknownInstanceType(NotFound):
    """No such instance type in the catalogue; ``near`` has the closest names."""

    def __init__(self, message: str, near: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.near = near


class UnknownRegion(NotFound):
    """The catalogue has no row at all for this region; ``known`` has those that it has."""

    def __init__(self, message: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.known = known


class MissingPrice(NotFound):
    """The region is known, but not the price of this item there; ``known`` has the regions that have it."""

    def __init__(self, message: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.known = known


@dataclass(frozen=True)
class Rate:
    """US dollars for one ``unit`` of ``item`` in ``region``: ``low <= amount <= high``, all >= 0.

    ``low`` and ``high`` hold the range over the sources; both are ``amount`` where they agree.
    """

    item: str
    region: str
    unit: str
    amount: float
    low: float
    high: float
    source: str
    date: date
    note: str = ""
    stands_in: str = ""
    """The region whose price is not known and that this one, of another region, stands in for; "" for none."""

    def less(self, part: float) -> "Rate":
        """The same thing at a discount of ``part`` (0 to 1)."""
        kept = 1.0 - part
        return replace(self, amount=self.amount * kept, low=self.low * kept, high=self.high * kept)

    @property
    def certain(self) -> bool:
        """Whether the sources agree."""
        return self.low == self.high


@dataclass(frozen=True)
class InstanceType:
    """A machine: ``accelerators`` of the kind ``accelerator`` ("" for none), with ``accelerator_gib`` of memory
    together. The memory is what the vendor states, of which a model gets a part."""

    name: str
    vcpus: int
    memory_gib: float
    accelerator: str = ""
    accelerators: int = 0
    accelerator_gib: float = 0.0

    @property
    def family(self) -> str:
        """``c5`` of ``ml.c5.xlarge``."""
        return self.name.removeprefix("ml.").partition(".")[0]

    @property
    def kind(self) -> str:
        """``cpu``, ``gpu`` or ``inferentia``."""
        if not self.accelerators:
            return "cpu"
        return "inferentia" if self.accelerator.startswith("AWS Inferentia") else "gpu"
