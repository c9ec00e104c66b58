"""``server version``: of the command and of the server."""

from typing import Any

from tidegate import __version__
from tidegate.cli.client import ServerNotRunning
from tidegate.cli.output import AsJson, client, show


def version(as_json: AsJson = False) -> None:
    """Show the version of this command and of the server.

    \b
    Example:
      tidegate server version --json
    """
    with client() as server:
        try:
            running: dict[str, Any] | None = server.version()
        except ServerNotRunning:
            running = None
        there = f"server {running['version']} at {server.url}" if running else f"no server at {server.url}"
    show({"version": __version__, "server": running}, as_json, f"tidegate {__version__}, {there}")
