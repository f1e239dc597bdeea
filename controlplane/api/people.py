"""/api/v1: accounts and service tokens. It takes the right `admin.accounts`; every change is in the action log."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from flask import Blueprint, Response, jsonify
from pydantic import Field

from controlplane import access
from controlplane.access import ROLES
from controlplane.access.rights import KNOWN
from controlplane.api.answers import actor, plane
from controlplane.api.contract import Link, contract
from controlplane.api.fields import KEPT, SAID, Body, Text
from controlplane.api.schemas import TEXT, YES, Null, row
from controlplane.audit import keys
from controlplane.errors import BadInputError
from controlplane.sealing import Keys
from controlplane.store import tables as t
from rules.reach import Reach, unknown

people = Blueprint("people", __name__, url_prefix="/api/v1")
ADMIN = "admin.accounts"
ACCOUNT = row(t.account, without=("password_hash",))
TOKEN = row(t.service_token, without=("token_hash",))
LONGEST = 3650
"""Days that a token may be good for."""
Role = Literal["viewer", "operator", "editor", "approver", "admin", "auditor", "privacy"]
Roles = Annotated[list[Role], Field(max_length=len(ROLES), description="what they grant: docs/security.md")]
Password = Annotated[str, Field(min_length=10, max_length=1024, pattern=KEPT)]
ABOUT = "the brands, regions and domains that it is confined to; empty: everything"
Confined = Annotated[list[Text] | None, Field(min_length=1, max_length=200)]
Right = Annotated[str, Field(json_schema_extra={"enum": sorted(KNOWN)}, max_length=40, pattern=KEPT)]


class Confines(Body):
    """What somebody is confined to. What is left out is not confined; what is named has to be known to some policy."""

    brands: Confined = None
    regions: Confined = None
    domains: Confined = None

    @property
    def reach(self) -> Reach:
        """As the plane takes it. Raises BadInputError for a name that no policy knows."""
        found = Reach.read(self.model_dump())
        if strange := unknown(found, plane().registry.snapshot().documents.values()):
            raise BadInputError(f"reach: {strange}")
        return found


class NewAccount(Body):
    """Somebody who is to sign in here."""

    name: Text
    password: Password
    roles: Roles
    display_name: Annotated[str, Field(max_length=190, pattern=KEPT)] = ""
    team: Text | None = None
    reach: Confines = Field(default=Confines(), description=ABOUT)


class NewRoles(Body):
    """What somebody may do, for which team, and about what."""

    roles: Roles
    team: Text | None = None
    reach: Confines = Field(default=Confines(), description=ABOUT)


class NewPassword(Body):
    """Another password."""

    password: Password


class NewToken(Body):
    """A token for a program."""

    account: Text
    purpose: Annotated[str, Field(min_length=1, max_length=190, pattern=SAID)] = Field(
        description="which program it is for"
    )
    scopes: list[Right] | None = Field(
        default=None,
        max_length=len(KNOWN),
        description="the rights that it is confined to; left out: all of the account's",
    )
    reach: Confines = Field(default=Confines(), description=f"{ABOUT}, within its account's")
    days: float = Field(default=365, gt=0, le=LONGEST, description="how long it is good for")


class KeysDeed(Body):
    """What was done to the keys of sealed records."""

    deed: keys.Deed


@people.post("/keys/actions")
@contract({"noted": YES}, right=ADMIN, body=KeysDeed, once=True)
def note_keys(asked: KeysDeed) -> Response:
    """Note in the action log how the keys of sealed records are by now, as the plane itself finds them: deed. Told by `trueup keys`."""
    ring = Keys(plane().settings).ring()
    with plane().store.write() as conn:
        noted = keys.note(conn, plane().clock, ring, asked.deed, actor().name)
    return jsonify(noted=noted)


@people.get("/accounts")
@contract({"accounts": [ACCOUNT]}, right=ADMIN, links=(Link("people.set_roles", {"name": "/accounts/0/name"}),))
def list_accounts() -> Response:
    """Every account, with its roles, its team and whether it is in use."""
    with plane().store.read() as conn:
        return jsonify(accounts=access.accounts(conn))


@people.post("/accounts")
@contract({"name": TEXT, "roles": [TEXT]}, status=201, right=ADMIN, body=NewAccount, refuses=(409,), once=True)
def make_account(asked: NewAccount) -> tuple[Response, int]:
    """Make an account that signs in by a password."""
    made = access.create_account(
        plane().store, plane().clock, asked.name, asked.password, asked.roles, actor=actor().name,
        display_name=asked.display_name, team=asked.team, reach=asked.reach.reach,
    )  # fmt: skip
    return jsonify(name=made.name, roles=sorted(made.roles)), 201


@people.post("/accounts/<name>/roles")
@contract({"name": TEXT, "roles": [TEXT]}, right=ADMIN, body=NewRoles, refuses=(403, 409), once=True)
def set_roles(name: str, asked: NewRoles) -> Response:
    """Give somebody else other roles, and another reach, from the next request on."""
    access.change_roles(
        plane().store, plane().clock, name, asked.roles, asked.team, actor=actor().name, reach=asked.reach.reach
    )
    return jsonify(name=name, roles=sorted(set(asked.roles)))


@people.post("/accounts/<name>/password")
@contract({"name": TEXT}, right=ADMIN, body=NewPassword, once=True)
def set_password(name: str, asked: NewPassword) -> Response:
    """Give an account another password, unlock it and end its sessions."""
    access.set_password(plane().store, plane().clock, name, asked.password, actor=actor().name)
    return jsonify(name=name)


@people.post("/accounts/<name>/disable")
@contract({"name": TEXT, "disabled": YES}, right=ADMIN, refuses=(403,), once=True)
def disable(name: str) -> Response:
    """Let nobody in by this account any more, from the next request on."""
    access.disable_account(plane().store, plane().clock, name, actor=actor().name)
    return jsonify(name=name, disabled=True)


@people.post("/accounts/<name>/enable")
@contract({"name": TEXT, "disabled": YES}, right=ADMIN, once=True)
def enable(name: str) -> Response:
    """Let somebody in again."""
    access.enable_account(plane().store, plane().clock, name, actor=actor().name)
    return jsonify(name=name, disabled=False)


@people.get("/tokens")
@contract({"tokens": [TOKEN]}, right=ADMIN, links=(Link("people.revoke", {"prefix": "/tokens/0/prefix"}),))
def list_tokens() -> Response:
    """Every service token: whose, what for, its scopes, until when, when it was used last. Not what would let somebody use it."""
    with plane().store.read() as conn:
        return jsonify(tokens=access.tokens(conn))


@people.post("/tokens")
@contract(
    {"token": Null(TEXT), "prefix": TEXT}, status=201, right=ADMIN, body=NewToken, refuses=(404,), once=True,
    shown_once="token",
)  # fmt: skip
def issue(asked: NewToken) -> tuple[Response, int]:
    """Make a token. It is shown this once: sent again under its key, the request is answered with its prefix, and null for the token."""
    made = access.issue_token(
        plane().store, plane().clock, asked.account, asked.purpose, actor=actor().name,
        valid_for=timedelta(days=asked.days), scopes=asked.scopes, reach=asked.reach.reach,
    )  # fmt: skip
    return jsonify(token=made, prefix=made.split("_")[1]), 201


@people.post("/tokens/<prefix>/revoke")
@contract({"prefix": TEXT}, right=ADMIN, once=True)
def revoke(prefix: str) -> Response:
    """End a token, from the next request on."""
    access.revoke_token(plane().store, plane().clock, prefix, actor=actor().name)
    return jsonify(prefix=prefix)
