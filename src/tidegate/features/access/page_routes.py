"""The pages to sign in, of users, the account and the audit."""

from tidegate.console.page_context import PageContext
from tidegate.features.access import account_page, audit_page, login_pages, openid_pages, users_page
from tidegate.gateway.guarded_routes import GuardedRoute


def page_routes(context: PageContext) -> list[GuardedRoute]:
    gateway = context.gateway
    return [
        *login_pages.routes(gateway),
        *openid_pages.routes(gateway),
        *audit_page.routes(gateway),
        *users_page.routes(gateway),
        *account_page.routes(gateway),
    ]
