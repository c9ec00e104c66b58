"""Links of the console's menus: pages of the core and of the features that are on; and the chapters, which are pages
to learn by in the order of their story."""

from tidegate.domain.feature import Menu, PageLink
from tidegate.gateway.paths import CONSOLE
from tidegate.host.features import features

OVERVIEW = f"{CONSOLE}/overview"
CORE = (
    PageLink(Menu.TOP, 10, CONSOLE, "Endpoints"),
    PageLink(
        *(Menu.LEARN, 110, f"{CONSOLE}/summary", "Summary", "What runs here, on one page each, to print"),
        remark="Strategy, alarms, evidence, cost and history of each endpoint",
    ),
)


def list_links(menu: Menu) -> tuple[PageLink, ...]:
    """Links of a menu in their order."""
    found = (*CORE, *(link for one in features() for link in one.feature.links))
    return tuple(sorted((one for one in found if one.menu is menu), key=lambda one: (one.place, one.path)))


def has_page(path: str) -> bool:
    """Whether a feature that is on has a page of this path, such as ``/console/endpoints/{name}/drift``."""
    return any(path in one.feature.pages for one in features())


CHAPTERS = list_links(Menu.LEARN)


def find_place(path: str) -> int | None:
    """Which chapter a page is, or is below, from 0, the nearest one; None for another page."""
    found = [place for place, one in enumerate(CHAPTERS) if f"{path}/".startswith(f"{one.path}/")]
    return max(found, key=lambda place: len(CHAPTERS[place].path), default=None)


def is_in_story(path: str) -> bool:
    return path == OVERVIEW or find_place(path) is not None


def neighbours(path: str) -> tuple[PageLink | None, PageLink | None]:
    """The chapter before a page and the one after it; of the overview, the first one."""
    if path == OVERVIEW:
        return None, next(iter(CHAPTERS), None)
    place = find_place(path)
    if place is None:
        return None, None
    before = CHAPTERS[place - 1] if place else None
    after = CHAPTERS[place + 1] if place + 1 < len(CHAPTERS) else None
    return before, after
