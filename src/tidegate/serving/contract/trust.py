"""What of a model may run code here: what its owner asks for, what the server allows everybody, and what the server's
table says of some images and places. Pure.

A part of the table of images, in YAML::

    trusted:
    - data: s3://models/approved/      # a folder or a prefix, which ends in "/", or one artifact
      trust: [pickle]
    - image: "*/mlflow-pyfunc:*"       # a name, or a pattern; whoever may create models can name it
      trust: [pickle]

An entry with both is for that image with data from there. A model that the table trusts need not ask.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tidegate.domain.errors import Invalid, StartupError

TRUST = "TIDEGATE_TRUST"
"""Variable of a model's environment: what, of all that can run code, its owner asks for. In a worker: what the
server allows. Words with commas between them."""
PICKLE = "pickle"
"""Reading pickles. The model has to ask for it, and the server to allow it."""
CODE = "code"
"""Importing Python code that comes with a model. The server has to allow it; to bring code is to ask."""
TRUSTED = (PICKLE, CODE)


@dataclass(frozen=True)
class Trusted:
    """``image``: a name or a pattern; ``data``: where all that a model brings has to lie. One of them is there."""

    words: frozenset[str]
    image: str | None = None
    data: str | None = None

    def covers(self, url: str) -> bool:
        """Whether what lies there is what the entry trusts. The address is compared as text, so one that could be
        read in another way is not covered."""
        if self.data is None:
            return True
        if not _plain(url):
            return False
        return url == self.data or (self.data.endswith("/") and url.startswith(self.data))


def trusts(environment: Mapping[str, str], what: str) -> bool:
    """Whether the word ``what`` is in an environment's TRUST; raises Invalid for a word that is not known."""
    return what in trust_words(environment.get(TRUST, ""))


def trust_words(text: str) -> frozenset[str]:
    """Raises Invalid for a word that is not known."""
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    for word in sorted(words.difference(TRUSTED)):
        raise Invalid(f"{TRUST} is a list of {', '.join(TRUSTED)}, not {word!r}")
    return words


def carried(table: Sequence[Trusted], image: str, sources: Sequence[str], chosen: bool) -> frozenset[str]:
    """The words that the table grants a model. ``sources``: the addresses of all that it brings; ``chosen``: whether
    its owner names the code that runs, which may lie anywhere and is trusted by an image alone."""
    found = set()
    for word in TRUSTED:
        fitting = [
            one for one in table if word in one.words and (one.image is None or fnmatchcase(image, one.image))
        ]
        placed = bool(sources) and not (word == CODE and chosen)
        if any(one.data is None for one in fitting) or (
            placed and all(any(one.covers(url) for one in fitting) for url in sources)
        ):
            found.add(word)
    return frozenset(found)


def parse_trusted(entries: object, origin: str) -> tuple[Trusted, ...]:
    """Raises StartupError; ``origin`` names the file in it."""
    if not isinstance(entries, list):
        raise StartupError(f"{origin}: 'trusted' must be a list of entries with 'trust' and 'data' or 'image'")
    return tuple(_entry(entry, f"{origin}: trusted {number}") for number, entry in enumerate(entries, 1))


def _entry(entry: object, where: str) -> Trusted:
    if not isinstance(entry, dict) or not {"trust"} < set(entry) <= {"trust", "image", "data"}:
        raise StartupError(f"{where}: expected 'trust', and 'data' or 'image' or both")
    words = entry["trust"]
    if not isinstance(words, list) or not words or not all(word in TRUSTED for word in words):
        raise StartupError(f"{where}: trust must be a list of {', '.join(TRUSTED)}")
    for name in ("image", "data"):
        if name in entry and (not isinstance(entry[name], str) or not entry[name]):
            raise StartupError(f"{where}: {name} must be a text")
    data = entry.get("data")
    if data is not None and not (data.startswith(("s3://", "file:///")) and _plain(data)):
        raise StartupError(
            f"{where}: data must be an address such as s3://models/approved/ or file:///srv/models/, without '%' and"
            " '..'"
        )
    return Trusted(frozenset(words), entry.get("image"), data)


def _plain(url: str) -> bool:
    """Whether it names one place, however it is read."""
    _, _, rest = url.partition("://")
    parts = rest.removeprefix("/").removesuffix("/").split("/")
    return "%" not in url and "\\" not in url and not {"", ".", ".."}.intersection(parts)
