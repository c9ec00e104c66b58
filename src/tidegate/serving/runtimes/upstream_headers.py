"""Headers that are sent with each request to the server behind a front. The text of a secret is read from its file,
which only the worker does, and again when the file changes."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tidegate.domain.errors import Invalid
from tidegate.domain.registry import SecretReference

LARGEST = 16 * 1024
"""Bytes of a secret."""
SHORTEST_HIDDEN = 4
"""Characters of a secret that is looked for in messages: shorter ones occur in any text."""
_TEXT = re.compile(rb"[\x20-\x7e]+")


class UpstreamHeaders:
    """The headers, as an iterable. ``folder``: of the secrets; empty: the server has none."""

    def __init__(self, given: Mapping[str, str | SecretReference], folder: str) -> None:
        """Raises Invalid for a secret that is not there."""
        self._given, self._folder = given, folder
        self._read: dict[str, tuple[tuple[int, int, int], bytes]] = {}
        """By the name of the secret: what its file was known by, and its text."""
        self._headers: tuple[tuple[bytes, bytes], ...] = ()
        self.look()

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self._headers)

    def look(self) -> None:
        """Read the secrets that changed. Raises Invalid for one that cannot be used."""
        self._headers = tuple((name.lower().encode(), self._value(one)) for name, one in self._given.items())

    def hide(self, text: str) -> str:
        """Replace the secrets in a text, such as an error of a server that repeats what it was sent."""
        for name, (_, secret) in self._read.items():
            # A scheme before it ("Bearer ...") says nothing; the word after it does.
            for word in (secret.decode(), secret.decode().rpartition(" ")[2]):
                text = text.replace(word, f"[secret {name}]") if len(word) >= SHORTEST_HIDDEN else text
        return text

    def _value(self, given: str | SecretReference) -> bytes:
        if isinstance(given, str):
            return given.encode("latin-1")
        path = secret_path(self._folder, given.secret)
        try:
            found = os.stat(path)
            known = (found.st_mtime_ns, found.st_ino, found.st_size)
            if given.secret not in self._read or self._read[given.secret][0] != known:
                self._read[given.secret] = known, read_secret(path, given.secret)
        except OSError as error:
            raise _unreadable(given.secret, error) from None
        return self._read[given.secret][1]


def secret_path(folder: str, name: str) -> Path:
    """Return the path of a secret. Raises Invalid if there is no folder of secrets."""
    if not folder:
        raise Invalid(
            f"secret {name}: this server has no secrets; its owner names their folder in TIDEGATE_SECRETS"
        )
    return Path(folder, name)


def read_secret(path: Path, name: str) -> bytes:
    """Read a secret without the line break at its end. Raises Invalid, which never shows it."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise _unreadable(name, error) from None
    secret = text.rstrip(b"\r\n")
    if len(text) > LARGEST or not _TEXT.fullmatch(secret):
        raise Invalid(
            f"secret {name}: its file must be one line of 1 to {LARGEST} printable ASCII characters, as a header is"
        )
    return secret


def _unreadable(name: str, error: OSError) -> Invalid:
    return Invalid(f"secret {name}: its file in the folder TIDEGATE_SECRETS cannot be read: {error.strerror}")
