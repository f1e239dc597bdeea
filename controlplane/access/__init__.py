"""Who you are and what you may do. Law: what no role grants is denied; secrets are kept only as hashes; every sign-in leaves a trace."""

from controlplane.access.accounts import (
    authenticate,
    create_account,
    disable_account,
    ensure_admin,
    everybody,
    find_actor,
    seed_people,
    set_password,
)
from controlplane.access.rights import ROLES, Actor, allowed, require, roles_with
from controlplane.access.sessions import Session, open_session, resume_session, revoke_all, revoke_session
from controlplane.access.tokens import check_token, ensure_cli_token, issue_token, revoke_token

__all__ = [
    "ROLES",
    "Actor",
    "Session",
    "allowed",
    "authenticate",
    "check_token",
    "create_account",
    "disable_account",
    "ensure_admin",
    "ensure_cli_token",
    "everybody",
    "find_actor",
    "issue_token",
    "open_session",
    "require",
    "resume_session",
    "revoke_all",
    "revoke_session",
    "revoke_token",
    "roles_with",
    "seed_people",
    "set_password",
]
