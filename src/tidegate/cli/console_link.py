"""``show console``: the console's address, opened in the browser."""

from typing import Annotated

import typer

from tidegate.cli.output import AsJson, client, print_note, show
from tidegate.host.late_import import load

CONSOLE = "/console"


def open_console(
    name: Annotated[str | None, typer.Argument(metavar="[ENDPOINT]", help="Open this endpoint's page.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Open the console in the browser.

    Prints the address, also where there is no browser. With --json it is printed only.

    \b
    Examples:
      tidegate show console
      tidegate show console fraud
      tidegate show console --no-browser
    """
    with client() as server:
        if name is None:
            server.version()
        else:
            server.endpoint(name)
        url = server.url + CONSOLE + ("" if name is None else f"/endpoints/{name}")
    show({"url": url}, as_json, url)
    # A browser is looked for on the whole path, which takes longer than the command.
    if not (no_browser or as_json) and not load("webbrowser", "open")(url):
        print_note("no browser could be opened here: open the address yourself")
