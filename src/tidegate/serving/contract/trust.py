"""Whether a model may run code: what its owner requests, what the server allows for all models, and what the server's
table allows for some images and data. Pure.

A part of the table of images, in YAML::

    trusted:
    - data: s3://models/approved/      # a folder or a prefix, which ends in "/", or one artifact
      trust: [pickle]
    - image: "*/mlflow-pyfunc:*"       # a name, or a pattern; whoever may create models can name it
      trust: [pickle]

An entry with both applies to that image with data from there. A model that the table trusts need not request it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tidegate.domain.errors import ArtifactError, Invalid, StartupError

TRUST = "TIDEGATE_TRUST"
"""Variable of a model's environment: the ways of running code that its owner requests; in a worker, those that the
server allows. Words, separated by commas."""
PICKLE = "pickle"
"""Reading pickles. The model has to request it and the server to allow it."""
CODE = "code"
"""Importing Python code that comes with a model. The server has to allow it; a model with code need not request
it."""
TRUSTED = (PICKLE, CODE)


@dataclass(frozen=True)
class Trusted:
    """``image``: a name or a pattern; ``data``: the prefix of all data of the model. At least one is set."""

    words: frozenset[str]
    image: str | None = None
    data: str | None = None

    def covers(self, url: str) -> bool:
        """Whether the entry trusts this address. Addresses are compared as text, so an ambiguous one is not
        covered."""
        if self.data is None:
            return True
        if not _plain(url):
            return False
        return url == self.data or (self.data.endswith("/") and url.startswith(self.data))


def trusts(environment: Mapping[str, str], what: str) -> bool:
    """Whether the word ``what`` is in an environment's TRUST. Raises Invalid for an unknown word."""
    return what in trust_words(environment.get(TRUST, ""))


def check_code_allowed(environment: Mapping[str, str], what: str) -> None:
    """Raises ArtifactError unless the server runs code of models. ``what``: names the code, for people."""
    if not trusts(environment, CODE):
        raise ArtifactError(
            f"{what} is code, and this server runs no code that comes with a model; to let whoever may create models"
            f" run code as the server's user, start the server with {TRUST}={CODE}"
        )


def trust_words(text: str) -> frozenset[str]:
    """Split a value of TRUST. Raises Invalid for an unknown word."""
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    for word in sorted(words.difference(TRUSTED)):
        raise Invalid(f"{TRUST} is a list of {', '.join(TRUSTED)}, not {word!r}")
    return words


def granted_words(table: Sequence[Trusted], image: str, sources: Sequence[str], chosen: bool) -> frozenset[str]:
    """The words that the table grants a model. ``sources``: addresses of all its data and code; ``chosen``: its owner
    names the code to run, which may lie anywhere, so only an image can be trusted with it."""
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
    """Parse the section ``trusted``. Raises StartupError; ``origin`` names the file in it."""
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
    """Whether a URL is unambiguous."""
    _, _, rest = url.partition("://")
    parts = rest.removeprefix("/").removesuffix("/").split("/")
    return "%" not in url and "\\" not in url and not {"", ".", ".."}.intersection(parts)
