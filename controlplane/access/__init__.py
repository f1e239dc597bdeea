"""Who you are and what you may do. Law: what no role grants is denied; secrets are kept only as hashes; every sign-in leaves a trace."""

from controlplane.access.accounts import (
    accounts,
    authenticate,
    change_roles,
    create_account,
    disable_account,
    disabled,
    enable_account,
    ensure_admin,
    everybody,
    find_actor,
    people,
    seed_people,
    set_password,
)
from controlplane.access.cooling import DAY, unready
from controlplane.access.denials import refused
from controlplane.access.members import admit, refuse
from controlplane.access.oidc import Begun, Oidc
from controlplane.access.rights import ROLES, Actor, Proof, allowed, require, roles_with
from controlplane.access.sessions import Session, open_session, resume_session, revoke_session
from controlplane.access.step_up import StepUp
from controlplane.access.tokens import check_token, ensure_cli_token, issue_token, revoke_token, tokens

__all__ = [
    "DAY",
    "ROLES",
    "Actor",
    "Begun",
    "Oidc",
    "Proof",
    "Session",
    "StepUp",
    "accounts",
    "admit",
    "allowed",
    "authenticate",
    "change_roles",
    "check_token",
    "create_account",
    "disable_account",
    "disabled",
    "enable_account",
    "ensure_admin",
    "ensure_cli_token",
    "everybody",
    "find_actor",
    "issue_token",
    "open_session",
    "people",
    "refuse",
    "refused",
    "require",
    "resume_session",
    "revoke_session",
    "revoke_token",
    "roles_with",
    "seed_people",
    "set_password",
    "tokens",
    "unready",
]
