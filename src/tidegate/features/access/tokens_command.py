"""``access token``: API tokens, with which programs and commands act for a user. Works on the server's database."""

from datetime import datetime
from typing import Annotated

import typer

from tidegate.cli.output import AsJson, print_note, show
from tidegate.cli.plain_parameters import PlainGroup
from tidegate.domain.access import Role, Token
from tidegate.features.access.service import UserBook, token_view
from tidegate.features.access.users_command import State, run

app = typer.Typer(
    cls=PlainGroup, no_args_is_help=True, rich_markup_mode=None, help="Manage API tokens, which act for a user."
)
DAYS = 90


@app.command()
def create(
    owner: Annotated[str, typer.Argument(metavar="USER", help="For whom it acts.", show_default=False)],
    label: Annotated[str, typer.Option(help="What it is for.")] = "cli",
    role: Annotated[Role | None, typer.Option(help="Less than the user may. [default: the user's]")] = None,
    days: Annotated[int, typer.Option(min=0, max=3650, help="Days until it expires; 0: never.")] = DAYS,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Create an API token, which is shown once and not kept.

    Commands send what TIDEGATE_TOKEN has, programs a header: Authorization: Bearer TOKEN.

    \b
    Examples:
      tidegate access token create alice --label ci --role operator
      export TIDEGATE_TOKEN=$(tidegate access token create alice)
    """

    async def work(users: UserBook, now: datetime) -> tuple[Token, str]:
        return await users.create_token(owner, role, label, days or None, now)

    made, text = run(state, work)
    show({**token_view(made), "token": text}, as_json, text)
    until = f"until {made.expires_at:%Y-%m-%d}" if made.expires_at else "without an end"
    print_note(f"token {made.id} of {owner}, {made.role}, {until}; it is not shown again")


@app.command(name="list")
def list_tokens(state: State = None, as_json: AsJson = False) -> None:
    """List the API tokens: whose they are, when they expire and when they were used.

    \b
    Example:
      tidegate access token list
    """

    async def work(users: UserBook, now: datetime) -> list[dict[str, str | None]]:
        return [token_view(token) for token in await users.book.tokens()]

    found = run(state, work)
    lines = [
        f"{one['id']}  {one['owner']}  {one['role']}  {one['label']}"
        f"  expires {(one['expires_at'] or 'never')[:10]}  used {(one['used_at'] or 'never')[:10]}"
        for one in found
    ]
    show({"tokens": found}, as_json, "\n".join(lines) or "there are no API tokens")


@app.command()
def revoke(
    token: Annotated[
        str, typer.Argument(metavar="ID", help="The id that 'token list' shows.", show_default=False)
    ],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Revoke an API token, at once.

    \b
    Example:
      tidegate access token revoke 0f1e2d3c4b5a
    """
    run(state, lambda users, now: users.revoke_token(token, now))
    show({"id": token, "revoked": True}, as_json, f"revoked {token}")
