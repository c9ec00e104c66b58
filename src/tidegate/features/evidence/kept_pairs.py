"""Judged pairs of texts that wait for a person's label: how they are chosen, how long they are kept, and where.

Each is a file in the state folder, and not a record of the store, whose journal would have the texts for as long as
it lasts. No more of them are kept for a rollout than its settings say, each with three texts of ``LONGEST_JUDGED``
characters at most; a file goes once its pair has a label, or after ``KEPT_FOR``, and all go with the rollout."""

import logging
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.host.atomic_write import write_atomically
from tidegate.statistics.preferences import GROUP

log = logging.getLogger(__name__)

FOLDER = "judged"
"""In the state folder."""
KEPT_FOR = 30 * 86_400.0
"""Seconds after which a pair goes that nobody has labelled."""


@dataclass(frozen=True)
class KeptPair:
    """The pair of a group that chance chose for a label. ``judged`` and ``chosen`` as in ``Preference``; ``texts``:
    the request, and the answers of the old and of the new version; None: the answers are equal, so that nobody is
    asked. ``new_first``: a person is shown the new version's answer as A."""

    id: str
    variant: str
    judged: tuple[float, ...]
    chosen: int
    new_first: bool
    texts: tuple[str, str, str] | None


@dataclass
class PairGroup:
    """A group that is being filled. Which of its pairs is labelled is chosen before anything is known of them, each
    with probability 1 / GROUP: the correction rests on that."""

    variant: str
    id: str
    chosen: int
    new_first: bool
    judged: list[float] = field(default_factory=list)
    texts: tuple[str, str, str] | None = None

    @classmethod
    def begin(cls, variant: str, chance: Random) -> "PairGroup":
        """``chance``: nobody who writes texts, or judges them, may be able to foresee it."""
        return cls(variant, f"{chance.getrandbits(64):016x}", chance.randrange(GROUP), chance.random() < 0.5)

    def add(self, judged: float, texts: tuple[str, str, str]) -> KeptPair | None:
        """Add a pair, of which the judge prefers the old version's answer (1), the new one's (0), or neither (1/2,
        and if it gave no verdict). Returns the chosen pair once the group is full."""
        if len(self.judged) == self.chosen:
            self.texts = texts if texts[1] != texts[2] else None
        self.judged.append(judged)
        if len(self.judged) < GROUP:
            return None
        return KeptPair(self.id, self.variant, tuple(self.judged), self.chosen, self.new_first, self.texts)


class KeptPairs:
    """The files of one rollout. The names of both come from tidegate. Everything blocks, shortly."""

    def __init__(self, state: Path, endpoint: str, rollout: str) -> None:
        self.endpoint, self.rollout = endpoint, rollout
        self._folder = state / FOLDER / endpoint / rollout

    @classmethod
    def find_all(cls, state: Path) -> list["KeptPairs"]:
        """Return those of every rollout that has a folder."""
        return [cls(state, one.parent.name, one.name) for one in (state / FOLDER).glob("*/*")]

    def add(self, pair: KeptPair) -> None:
        """Keep a pair as the newest one. A full disk loses it, which is logged."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            names = self._names()
            number = int(names[-1].partition("-")[0]) + 1 if names else 0
            body = msgspec.json.encode(pair)
            write_atomically(self._folder / f"{number:06}-{pair.id}.json", body, durable=False)
        except OSError as error:
            log.warning("a judged pair cannot be kept for a label: %s", error)

    def read(self) -> list[KeptPair]:
        """Return the pairs, oldest first. One that cannot be read is left out."""
        found = list[KeptPair]()
        for name in self._names():
            with suppress(OSError, msgspec.DecodeError):
                body = (self._folder / name).read_bytes()
                found.append(msgspec.json.decode(body, type=prepare_type(KeptPair)))
        return found

    def remove(self, ids: set[str]) -> None:
        for name in self._names():
            if name.partition("-")[2].removesuffix(".json") in ids:
                (self._folder / name).unlink(missing_ok=True)

    def clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def clear_old(self, now: float) -> None:
        """Remove what is too old, which may be a part of a file whose writer was killed. ``now``: epoch seconds."""
        for path in self._folder.glob("*"):
            with suppress(OSError):
                if path.stat().st_mtime < now - KEPT_FOR:
                    path.unlink()

    def _names(self) -> list[str]:
        return sorted(one.name for one in self._folder.glob("*.json"))
