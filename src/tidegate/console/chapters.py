"""The pages to learn by, in the order of their story. Pure."""

from dataclasses import dataclass

from tidegate.gateway.paths import CONSOLE

OVERVIEW = f"{CONSOLE}/overview"


@dataclass(frozen=True)
class Chapter:
    """``question`` is what its page answers."""

    path: str
    name: str
    question: str


CHAPTERS = (
    Chapter(f"{CONSOLE}/targets", "Targets", "Where does it run, and what does that cost?"),
    Chapter(f"{CONSOLE}/challenges", "Challenges", "What goes wrong in production, and who notices?"),
    Chapter(f"{CONSOLE}/traffic", "Traffic", "How many requests does a bad version get?"),
    Chapter(f"{CONSOLE}/rolling", "Rolling", "Why does rolling turn back slowly, and which strategy fits?"),
    Chapter(f"{CONSOLE}/flowchart", "Inference mode", "Real-time, serverless, asynchronous or batch?"),
    Chapter(f"{CONSOLE}/architectures", "Many models", "One endpoint for each client, or one for all?"),
    Chapter(f"{CONSOLE}/compute", "Compute", "Which machine, how many, and what to commit to?"),
    Chapter(f"{CONSOLE}/recommender", "Recommender", "What does a model of yours need, measured under load?"),
    Chapter(f"{CONSOLE}/planner", "Planner", "Everything at once: a plan that can be deployed"),
    Chapter(f"{CONSOLE}/lab", "Lab", "All of it on this server: a good version, a bad one, and why it goes"),
    Chapter(f"{CONSOLE}/summary", "Summary", "What runs here, on one page each, to print"),
)


def find_place(path: str) -> int | None:
    """Which chapter a page is, or is below, from 0; None for another page."""
    return next((place for place, one in enumerate(CHAPTERS) if f"{path}/".startswith(f"{one.path}/")), None)


def is_in_story(path: str) -> bool:
    return path == OVERVIEW or find_place(path) is not None


def neighbours(path: str) -> tuple[Chapter | None, Chapter | None]:
    """The chapter before a page and the one after it; of the overview, the first one."""
    if path == OVERVIEW:
        return None, CHAPTERS[0]
    place = find_place(path)
    if place is None:
        return None, None
    before = CHAPTERS[place - 1] if place else None
    after = CHAPTERS[place + 1] if place + 1 < len(CHAPTERS) else None
    return before, after
