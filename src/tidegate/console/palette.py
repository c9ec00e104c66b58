"""The command palette: endpoints, pages and actions that fit what somebody types. Pure, but for ``read_entries``."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from tidegate.console import chapters, endpoint_parts
from tidegate.console.endpoint_card import Cards
from tidegate.console.endpoint_page import is_multi_model
from tidegate.console.identity import Reader
from tidegate.console.rendering import ENDPOINT_PAGES, PAGES
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Invalid, UnreadableRecord
from tidegate.domain.feature import Menu
from tidegate.domain.history import HistoryEntry
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.paths import CONSOLE
from tidegate.ports.store import Tx
from tidegate.service import history
from tidegate.service.record_kinds import ENDPOINT

MOST = 12
"""Entries that are shown."""
LOOKED_AT = 6
"""Endpoints whose pages and actions are offered: those whose names fit best."""
MAX_TEXT = 100
ENDPOINT_PAGE = f"{CONSOLE}/endpoints/{{name}}"
MODELS = ("/models", "Models")
"""The page of an endpoint that has many."""


@dataclass(frozen=True)
class PaletteEntry:
    """``about``: what kind it is, or the command that does the same."""

    title: str
    about: str
    href: str


def list_pages(reader: Reader) -> list[PaletteEntry]:
    """Pages that this reader may open."""
    found = [PaletteEntry(one.title, "page", one.path) for one in PAGES]
    found += [PaletteEntry(one.title, one.question, one.path) for one in chapters.CHAPTERS]
    if reader.may_operate:
        found.append(PaletteEntry("New endpoint", "page", f"{CONSOLE}/new"))
    if reader.signed_in:
        found.append(PaletteEntry("Your account", "page", f"{CONSOLE}/account"))
    if reader.may_inspect:
        found += [PaletteEntry(one.title, "page", one.path) for one in chapters.list_links(Menu.PEOPLE)]
    return list({entry.href: entry for entry in reversed(found)}.values())[::-1]


def list_of_endpoint(
    endpoint: Endpoint, reader: Reader, cards: Cards, back: HistoryEntry | None = None
) -> list[PaletteEntry]:
    """Its pages, and what this reader can do to it now: each action opens the page's own confirmation. ``back`` is
    the version that undo goes back to."""
    base, name = f"{CONSOLE}/endpoints/{quote(endpoint.name, safe='')}", endpoint.name
    many = is_multi_model(endpoint) and chapters.has_page(ENDPOINT_PAGE + MODELS[0])
    pages = [*ENDPOINT_PAGES, *([MODELS] if many else [])]
    found = [PaletteEntry(name, "endpoint", base)]
    found += [PaletteEntry(f"{name}: {title}", "page", base + path) for path, title in pages if path]
    if not reader.may_operate:
        return found
    own = (action for card in cards for action in card.actions(endpoint))
    for action in (*endpoint_parts.actions(endpoint, back), *own):
        found.append(PaletteEntry(f"{name}: {action.label}", action.line, f"{base}#do={action.key}"))
    return found


def rank_names(names: Iterable[str], words: Sequence[str]) -> list[str]:
    """Names that have at least one of the words; those with more of them first, then those that begin with one."""

    def rank(name: str) -> tuple[int, bool, str]:
        low = name.casefold()
        return -sum(word in low for word in words), not any(low.startswith(word) for word in words), name

    ranked = sorted((rank(name), name) for name in names)
    return [name for (hits, _, _), name in ranked if hits or not words]


def choose_entries(entries: Sequence[PaletteEntry], words: Sequence[str]) -> list[PaletteEntry]:
    """Those that have every word in title or about; titles that begin with the first one come first."""

    def fits(entry: PaletteEntry) -> bool:
        where = f"{entry.title}\n{entry.about}".casefold()
        return all(word in where for word in words)

    def rank(entry: PaletteEntry) -> tuple[bool, bool]:
        title = entry.title.casefold()
        return not all(word in title for word in words), not title.startswith(words[0] if words else "")

    return sorted(filter(fits, entries), key=rank)[:MOST]


def _read_endpoint(tx: Tx, name: str) -> tuple[Endpoint, HistoryEntry | None] | None:
    """The endpoint, and the version to which it can go back. None for one that cannot be read: none of its
    pages can be opened."""
    try:
        saved = tx.get(ENDPOINT, name)
    except UnreadableRecord:
        return None
    if saved is None:
        return None
    return saved.body, endpoint_parts.former_version(saved.body, history.read(tx, name))


async def read_entries(gateway: Gateway, cards: Cards, text: str, reader: Reader) -> list[dict[str, Any]]:
    """Raises Invalid for a text that is too long."""
    if len(text) > MAX_TEXT:
        raise Invalid(f"q has {len(text)} characters: {MAX_TEXT} at most")
    words = text.casefold().split()

    def work(tx: Tx) -> list[tuple[Endpoint, HistoryEntry | None]]:
        names = tx.versions(ENDPOINT)
        best = (rank_names(names, words) or sorted(names))[:LOOKED_AT]
        return [one for name in best if (one := _read_endpoint(tx, name)) is not None]

    found = await gateway.context.store.read(work)
    of_endpoints = [entry for endpoint, back in found for entry in list_of_endpoint(endpoint, reader, cards, back)]
    every = [*list_pages(reader), *of_endpoints] if not words else [*of_endpoints, *list_pages(reader)]
    return [asdict(entry) for entry in choose_entries(every, words)]
