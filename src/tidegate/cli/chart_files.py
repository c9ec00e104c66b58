"""Files that ``--plot`` makes: their names, the HTML page around a drawing, and writing them.

``charts.py`` and ``plot_files.py`` share this module and draw for themselves, because they show different things.
"""

from collections.abc import Callable
from html import escape
from pathlib import Path

from tidegate.domain.errors import Invalid


def check_destination(path: Path, suffixes: tuple[str, str]) -> None:
    """Raises Invalid, before any work is done, if the name has another suffix or the folder does not exist."""
    if path.suffix not in suffixes:
        raise Invalid(f"--plot {path}: expected a name that ends in {suffixes[0]} or {suffixes[1]}")
    if not path.absolute().parent.is_dir():
        raise Invalid(f"--plot {path}: there is no folder {path.absolute().parent}")


def save(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with the path. Raises Invalid if the file cannot be written."""
    try:
        write(path)
    except OSError as error:
        raise Invalid(f"--plot {path}: {error.strerror}") from None


def render_html(title: str, body: str, *, style: str = "") -> str:
    """A self-contained page. ``body`` and ``style`` are markup, ``title`` is text."""
    rules = f"<style>{style}</style>" if style else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>{rules}'
        f"<body>{body}</body></html>\n"
    )
