"""The manifest of the feature access."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Menu, NativeRoute, PageLink

FEATURE = Feature(
    name="access",
    summary="Users, roles, API tokens, sign-in and the audit.",
    page="security.md",
    routes=(
        NativeRoute("GET", "/audit", ".audit_native:read_audit", Access.INSPECT),
        NativeRoute("GET", "/users", ".people_native:list_users", Access.INSPECT),
        NativeRoute("POST", "/users", ".people_native:add_user", Access.ADMINISTER),
        NativeRoute("DELETE", "/users/{user}", ".people_native:remove_user", Access.ADMINISTER),
        NativeRoute("PUT", "/users/{user}/role", ".people_native:set_role", Access.ADMINISTER),
        NativeRoute("PUT", "/users/{user}/password", ".people_native:set_password", Access.ADMINISTER),
        NativeRoute("PUT", "/users/{user}/disabled", ".people_native:set_disabled", Access.ADMINISTER),
        NativeRoute("GET", "/sessions", ".people_native:list_sessions", Access.INSPECT),
        NativeRoute("DELETE", "/sessions", ".people_native:end_sessions", Access.ADMINISTER),
        NativeRoute("GET", "/tokens", ".people_native:list_tokens", Access.INSPECT),
        NativeRoute("POST", "/tokens", ".people_native:create_token", Access.ADMINISTER),
        NativeRoute("DELETE", "/tokens/{id}", ".people_native:revoke_token", Access.ADMINISTER),
        NativeRoute("GET", "/account", ".account_native:describe_account", Access.READ),
        NativeRoute("PUT", "/account/password", ".account_native:change_password", Access.OWN),
        NativeRoute("POST", "/account/tokens", ".account_native:create_token", Access.OWN),
        NativeRoute("DELETE", "/account/tokens/{id}", ".account_native:revoke_token", Access.OWN),
        NativeRoute("DELETE", "/account/sessions", ".account_native:end_sessions", Access.OWN),
    ),
    commands=(
        CommandEntry("access", "", "Manage users, roles and tokens; read the audit.", "Server"),
        CommandEntry("access user", ".command:app", "Manage who may sign in, and their roles.", "Server"),
        CommandEntry("access token", ".command:tokens_app", "Manage API tokens, which act for a user.", "Server"),
        CommandEntry(
            "access audit", ".command:audit", "Show who changed what, when, from where and why.", "Server"
        ),
    ),
    pages={
        "/console/login": (
            "GET",
            "POST",
        ),
        "/console/logout": ("POST",),
        "/console/session": ("GET",),
        "/console/login/provider": ("GET",),
        "/console/login/callback": ("GET",),
        "/console/audit": ("GET",),
        "/console/users": ("GET",),
        "/console/account": ("GET",),
    },
    links=(
        PageLink(Menu.PEOPLE, 10, "/console/users", "Users"),
        PageLink(Menu.PEOPLE, 20, "/console/audit", "Audit"),
    ),
    page_routes=".page_routes:page_routes",
    hooks={"check_settings": ".provider_settings:check_provider"},
)
