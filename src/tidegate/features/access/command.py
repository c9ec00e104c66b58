"""``access``: users, API tokens and the audit. Users and tokens are changed in the server's database, on its own
machine."""

import os
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from tidegate.cli.output import AsJson, client, print_note, show, user_name
from tidegate.cli.plain_parameters import PlainGroup
from tidegate.domain.access import Role, Token
from tidegate.domain.errors import Invalid
from tidegate.features.access.service import UserBook, token_view
from tidegate.settings import Settings

R = TypeVar("R")

app = typer.Typer(
    cls=PlainGroup, no_args_is_help=True, rich_markup_mode=None, help="Manage who may sign in, and their roles."
)

State = Annotated[
    Path | None, typer.Option(readable=False, help="The state folder. [default: ~/.local/state/tidegate]")
]
User = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.", show_default=False)]
Piped = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@app.command()
def add(
    name: User,
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.VIEWER,
    password_stdin: Piped = False,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Add a user, whose password is asked for.

    A viewer may look, an operator also deploy, steer rollouts and ask models, an admin everything.

    \b
    Examples:
      tidegate access user add alice --role admin
      pass show tidegate/bob | tidegate access user add bob --role operator --password-stdin
    """
    password = _read_password(password_stdin)

    async def work(users: UserBook, now: datetime) -> int:
        await users.add(name, role, password, now)
        return len(await users.book.users())

    count = run(state, work)
    show({"name": name, "role": role}, as_json, f"added {name}, {role}")
    if count == 1:
        print_note(
            "a server that runs without access keys asks for a login from its next start on, and then reads file:// "
            "below TIDEGATE_FILE_ROOTS alone"
        )


@app.command(name="list")
def list_users(state: State = None, as_json: AsJson = False) -> None:
    """List the users with their roles.

    \b
    Example:
      tidegate access user list
    """

    async def work(users: UserBook, now: datetime) -> list[dict[str, str | bool]]:
        return [
            {
                "name": user.name,
                "role": str(user.role),
                "created_at": user.created_at.isoformat(),
                "disabled": user.disabled,
            }
            for user in await users.book.users()
        ]

    found = run(state, work)
    lines = [
        f"{user['name']}  {user['role']}{', disabled' if user['disabled'] else ''}  "
        f"since {str(user['created_at'])[:10]}"
        for user in found
    ]
    show(
        {"users": found},
        as_json,
        "\n".join(lines) or "there are no users: 'tidegate access user add NAME' adds one",
    )


@app.command()
def remove(name: User, state: State = None, as_json: AsJson = False) -> None:
    """Remove a user with all sessions and API tokens, at once.

    \b
    Example:
      tidegate access user remove bob
    """
    run(state, lambda users, now: users.remove(name, now))
    show({"name": name, "removed": True}, as_json, f"removed {name}")


@app.command()
def password(name: User, password_stdin: Piped = False, state: State = None, as_json: AsJson = False) -> None:
    """Set a user's password, and end the user's sessions.

    \b
    Example:
      tidegate access user password bob
    """
    given = _read_password(password_stdin)
    run(state, lambda users, now: users.set_password(name, given, now))
    show({"name": name, "changed": True}, as_json, f"set the password of {name}, whose sessions have ended")


@app.command()
def role(
    name: User,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="viewer, operator or admin.", show_default=False)],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Set a user's role, which counts from the next request on.

    \b
    Example:
      tidegate access user role bob viewer
    """
    run(state, lambda users, now: users.set_role(name, role, now))
    show({"name": name, "role": role}, as_json, f"{name} is {role}")


@app.command()
def disable(name: User, state: State = None, as_json: AsJson = False) -> None:
    """Keep a user out, at once: sessions end, and API tokens do not count until the user is enabled again.

    \b
    Example:
      tidegate access user disable bob
    """
    run(state, lambda users, now: users.set_disabled(name, True, now))
    show({"name": name, "disabled": True}, as_json, f"disabled {name}, whose sessions have ended")


@app.command()
def enable(name: User, state: State = None, as_json: AsJson = False) -> None:
    """Let a user who was disabled sign in again, with the same password, role and API tokens.

    \b
    Example:
      tidegate access user enable bob
    """
    run(state, lambda users, now: users.set_disabled(name, False, now))
    show({"name": name, "disabled": False}, as_json, f"enabled {name}")


@app.command(name="sign-out")
def sign_out(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="The user, or the person as the audit names them (oidc:...).", show_default=False
        ),
    ],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """End all sessions of a user, or of a person of the provider of identity, at once.

    Tokens stay. Whoever may still sign in can do so again.

    \b
    Examples:
      tidegate access user sign-out bob
      tidegate access user sign-out oidc:alice@example.com
    """
    ended = run(state, lambda users, now: users.sign_out(name, now))
    show({"name": name, "ended": ended}, as_json, f"ended {ended} sessions of {name}")


def run(state: Path | None, work: Callable[[UserBook, datetime], Awaitable[R]]) -> R:
    from tidegate.features.access.user_book import with_users  # noqa: PLC0415 (other commands start without a database)

    return with_users(Settings.from_environment(os.environ, state=state), user_name(), work)


def _read_password(piped: bool) -> str:
    """Raises Invalid."""
    if piped:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Invalid("there is no terminal to ask for the password: use --password-stdin")
    given: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return given


# ``access token``: API tokens, with which programs and commands act for a user. Works on the server's database.


tokens_app = typer.Typer(
    cls=PlainGroup, no_args_is_help=True, rich_markup_mode=None, help="Manage API tokens, which act for a user."
)
DAYS = 90


@tokens_app.command()
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


@tokens_app.command(name="list")
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


@tokens_app.command()
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


# --- ``access audit``: who changed what, or tried to ---


def audit(
    who: Annotated[str | None, typer.Option(help="Only what this user or key did.")] = None,
    about: Annotated[str | None, typer.Option(help="Only what concerns this name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many entries.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, when, from where and why.

    Newest last. Refused attempts are there, too.

    \b
    Examples:
      tidegate access audit
      tidegate access audit --about fraud --limit 10
      tidegate access audit --json | jq '.entries[] | select(.outcome == "refused")'
    """
    with client() as server:
        found = server.audit(limit, who or "", about or "")
    entries = found[::-1]
    show({"entries": entries}, as_json, "\n".join(map(_describe_entry, entries)) or "nothing is recorded")


def _describe_entry(entry: dict[str, Any]) -> str:
    outcome = "not known" if entry["outcome"] == "started" else entry["outcome"]
    known = ", ".join(filter(None, (entry["role"] or "no role", entry["source"])))
    who = f"{entry['who'] or 'nobody'} ({known})"
    about = f" {entry['about']}" if entry["about"] and entry["about"] not in entry["action"] else ""
    why = f": {entry['reason']}" if entry["reason"] else ""
    detail = f" ({entry['detail']})" if entry["detail"] else ""
    return f"{entry['at'][:19]}Z  {who}  {entry['action']}{about}{why}  {outcome}{detail}"
