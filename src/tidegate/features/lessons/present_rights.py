"""What somebody who began something may do now: asked again while it goes on, since rights are lost meanwhile."""

from datetime import datetime

from tidegate.domain.access import Means, Role
from tidegate.features.access.logins import Logins
from tidegate.features.lessons.run_records import Beginner


async def find_role(logins: Logins, who: Beginner, now: datetime) -> Role | None:
    """The present role of somebody with a session or an API token; None: none any more. Somebody whom a provider of
    identity vouches for has the role of their sessions, and none without one. Raises Unavailable."""
    if who.means is Means.TOKEN:
        return await _role_of_token(logins, who, now)
    if who.means is not Means.SESSION:
        return None
    user = await logins.book.user(who.name)
    if user is not None and user.disabled:
        return None
    found = [] if user is None else [user.role]
    sessions = [one for one in await logins.book.sessions() if one.name == who.name and logins.is_open(one, now)]
    external = [one.role for one in sessions if one.role is not None]
    return _least([*found, *external])


async def _role_of_token(logins: Logins, who: Beginner, now: datetime) -> Role | None:
    """That of the owner's token of this label; of several, the least."""
    owner = await logins.book.user(who.name)
    if owner is None or owner.disabled:
        return None
    tokens = [one for one in await logins.book.tokens() if (one.owner, one.label) == (who.name, who.token)]
    valid = [one.role for one in tokens if one.expires_at is None or now < one.expires_at]
    role = _least(valid)
    return role if role is None or owner.role.includes(role) else owner.role


def _least(roles: list[Role]) -> Role | None:
    return next((role for role in Role if role in roles), None)
