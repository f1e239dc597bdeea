"""Accounts, sessions, tokens and rights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from controlplane import access
from controlplane.access import Actor
from controlplane.audit import verify
from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError
from controlplane.store import Store
from controlplane.store import tables as t

PASSWORD = "correct horse battery"


@pytest.fixture
def olga(store: Store, clock: ManualClock) -> Actor:
    """An operator with an account."""
    return access.create_account(store, clock, "olga", PASSWORD, ["operator"], actor="setup", team="store-ops")


def test_the_right_password_says_who_it_is(store: Store, clock: ManualClock, olga: Actor) -> None:
    assert access.authenticate(store, clock, "olga", PASSWORD) == olga
    assert access.authenticate(store, clock, "olga", PASSWORD + "!") is None
    assert access.authenticate(store, clock, "nobody", PASSWORD) is None
    assert access.authenticate(store, clock, "ol\x00ga", PASSWORD) is None
    assert access.authenticate(store, clock, "olga", "x" * 100_000) is None


def test_only_an_argon2id_hash_of_the_password_is_kept(store: Store, olga: Actor) -> None:
    with store.read() as conn:
        kept = conn.execute(select(t.account.c.password_hash)).scalar_one()
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept


def test_ten_failures_lock_the_account_for_a_quarter_of_an_hour(store: Store, clock: ManualClock, olga: Actor) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda n: access.authenticate(store, clock, "olga", f"guess {n}"), range(10)))
    assert access.authenticate(store, clock, "olga", PASSWORD) is None
    clock.advance(15 * 60 - 1)
    assert access.authenticate(store, clock, "olga", PASSWORD) is None
    clock.advance(1)
    assert access.authenticate(store, clock, "olga", PASSWORD) == olga
    with store.read() as conn:
        actions = list(conn.execute(select(t.action.c.action).order_by(t.action.c.seq)).scalars())
        assert verify(conn) == []
    assert actions == [
        "account.create",
        *["account.sign_in_failed"] * 9,
        "account.lock",
        *["account.sign_in_locked"] * 2,
        "account.sign_in",
    ]


def test_a_success_forgets_earlier_failures(store: Store, clock: ManualClock, olga: Actor) -> None:
    for _ in range(2):
        for number in range(5):
            access.authenticate(store, clock, "olga", f"guess {number}")
        assert access.authenticate(store, clock, "olga", PASSWORD) == olga


def test_a_disabled_account_is_out_at_the_next_request(store: Store, clock: ManualClock, olga: Actor) -> None:
    session = access.open_session(store, clock, olga)
    token = access.issue_token(store, clock, "olga", "test", actor="setup")
    access.disable_account(store, clock, "olga", actor="admin")
    assert access.authenticate(store, clock, "olga", PASSWORD) is None
    assert access.resume_session(store, clock, session.token) is None
    assert access.check_token(store, clock, token) is None


def test_a_bad_account_is_refused(store: Store, clock: ManualClock, olga: Actor) -> None:
    with pytest.raises(BadInputError, match="has 5 characters; give 10"):
        access.create_account(store, clock, "new", "short", ["viewer"], actor="setup")
    with pytest.raises(BadInputError, match="unknown role 'king'; roles there are: viewer"):
        access.create_account(store, clock, "new", PASSWORD, ["king"], actor="setup")
    with pytest.raises(ConflictError, match="an account 'olga' already"):
        access.create_account(store, clock, "olga", PASSWORD, ["viewer"], actor="setup")


def test_the_administrators_password_is_told_only_when_it_was_generated_just_now(
    store: Store, clock: ManualClock
) -> None:
    generated = access.ensure_admin(store, clock, None)
    assert generated is not None
    assert access.ensure_admin(store, clock, None) is None
    assert access.authenticate(store, clock, "admin", generated) is not None
    assert access.ensure_admin(store, clock, "a chosen password") is None
    assert access.authenticate(store, clock, "admin", "a chosen password") is not None


def test_the_sandboxs_people_are_made_once_with_distinct_roles(store: Store, clock: ManualClock) -> None:
    made = access.seed_people(store, clock)
    assert sorted(made) == ["ada", "ben", "olga", "vic", "wim"]
    assert access.seed_people(store, clock) == {}
    ben = access.authenticate(store, clock, "ben", made["ben"])
    assert ben is not None
    assert access.allowed(ben, "policy.approve")
    assert not access.allowed(ben, "policy.propose")


def test_a_session_lasts_eight_idle_hours(store: Store, clock: ManualClock, olga: Actor) -> None:
    session = access.open_session(store, clock, olga)
    clock.advance(8 * 3600 - 1)
    assert access.resume_session(store, clock, session.token) == session
    clock.advance(8 * 3600)
    assert access.resume_session(store, clock, session.token) is None


def test_a_session_in_use_ends_after_a_day(store: Store, clock: ManualClock, olga: Actor) -> None:
    session = access.open_session(store, clock, olga)
    for _ in range(23):
        clock.advance(3600)
        assert access.resume_session(store, clock, session.token) is not None
    clock.advance(3600)
    assert access.resume_session(store, clock, session.token) is None


def test_a_session_that_was_signed_out_or_revoked_is_over(store: Store, clock: ManualClock, olga: Actor) -> None:
    first, second = (access.open_session(store, clock, olga) for _ in range(2))
    access.revoke_session(store, clock, first.token)
    assert access.resume_session(store, clock, first.token) is None
    assert access.resume_session(store, clock, second.token) == second
    access.set_password(store, clock, "olga", "another password", actor="root")
    assert access.resume_session(store, clock, second.token) is None
    assert access.resume_session(store, clock, "made up") is None


def test_a_new_admin_password_in_the_settings_ends_the_sessions_of_the_old_one(
    store: Store, clock: ManualClock
) -> None:
    access.ensure_admin(store, clock, "the first of twenty")
    session = access.open_session(store, clock, Actor("admin", frozenset({"admin"})))
    access.ensure_admin(store, clock, "the first of twenty")
    assert access.resume_session(store, clock, session.token) is not None
    access.ensure_admin(store, clock, "the second of twenty")
    assert access.resume_session(store, clock, session.token) is None


def test_only_hashes_of_session_and_service_tokens_are_kept(store: Store, clock: ManualClock, olga: Actor) -> None:
    session = access.open_session(store, clock, olga)
    token = access.issue_token(store, clock, "olga", "test", actor="setup")
    with store.read() as conn:
        kept = str([conn.execute(select(table)).all() for table in (t.login_session, t.service_token, t.action)])
    assert session.token not in kept
    assert token.split("_", 2)[2] not in kept


def test_a_service_token_acts_as_its_account_until_it_expires_or_is_revoked(
    store: Store, clock: ManualClock, olga: Actor
) -> None:
    token = access.issue_token(store, clock, "olga", "metrics", actor="admin", valid_for=timedelta(days=1))
    assert access.check_token(store, clock, token) == olga
    assert access.check_token(store, clock, token[:-1] + ("A" if token[-1] != "A" else "B")) is None
    assert access.check_token(store, clock, "tru_nonsense") is None
    clock.advance(86400)
    assert access.check_token(store, clock, token) is None
    other = access.issue_token(store, clock, "olga", "metrics", actor="admin")
    access.revoke_token(store, clock, other.split("_")[1], actor="admin")
    assert access.check_token(store, clock, other) is None
    with pytest.raises(NotFoundError, match="no token"):
        access.revoke_token(store, clock, other.split("_")[1], actor="admin")


def test_the_command_lines_token_is_kept_in_a_file_of_its_owner_and_renewed_when_it_no_longer_works(
    store: Store, clock: ManualClock, olga: Actor, tmp_path: Path
) -> None:
    path = tmp_path / "cli-token"
    access.ensure_cli_token(store, clock, path, "olga")
    first = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600
    access.ensure_cli_token(store, clock, path, "olga")
    assert path.read_text().strip() == first
    assert access.check_token(store, clock, first) == olga
    access.revoke_token(store, clock, first.split("_")[1], actor="admin")
    access.ensure_cli_token(store, clock, path, "olga")
    assert access.check_token(store, clock, path.read_text().strip()) == olga


def test_the_command_lines_token_changes_no_policy_and_one_from_before_that_could_is_taken_out_of_use(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    path = tmp_path / "cli-token"
    access.ensure_admin(store, clock, "a password of twenty")
    old = access.issue_token(store, clock, "admin", "command line", actor="setup")
    path.write_text(old)
    access.ensure_cli_token(store, clock, path)
    assert access.check_token(store, clock, old) is None
    found = access.check_token(store, clock, path.read_text().strip())
    assert access.allowed(found, "admin.accounts")
    for right in ("policy.propose", "policy.apply", "policy.break_glass"):
        assert not access.allowed(found, right)


def test_what_no_role_grants_is_denied() -> None:
    admin = Actor("admin", frozenset({"admin"}))
    assert access.allowed(admin, "admin.accounts")
    assert not access.allowed(admin, "policy.approve")
    assert not access.allowed(admin, "launch.rockets")
    assert not access.allowed(Actor("x", frozenset({"unheard-of"})), "view")
    assert not access.allowed(None, "view")
    with pytest.raises(ForbiddenError, match=r"'admin' \(admin\) may not do this: .*'policy.approve' \(approver\)"):
        access.require(admin, "policy.approve")


def actions(store: Store) -> list[tuple[str, str, dict[str, int] | None]]:
    with store.read() as conn:
        query = select(t.action.c.actor, t.action.c.action, t.action.c.after).order_by(t.action.c.seq)
        return [(row.actor, row.action, row.after) for row in conn.execute(query)]


def test_signing_out_is_an_action(store: Store, clock: ManualClock, olga: Actor) -> None:
    session = access.open_session(store, clock, olga)
    for _ in range(2):
        access.revoke_session(store, clock, session.token)
    assert [one[:2] for one in actions(store)].count(("olga", "session.end")) == 1


def test_names_that_nobody_has_are_counted_once_a_minute_and_never_written(
    sqlite_store: Store, clock: ManualClock
) -> None:
    store = sqlite_store  # one of its own: what was left out is counted by store
    for _ in range(3):
        assert access.authenticate(store, clock, "my secret password", "x") is None
    clock.advance(60)
    access.authenticate(store, clock, "somebody else", "x")
    assert actions(store) == [
        ("nobody", "account.sign_in_unknown", {"left_out": 0}), ("nobody", "account.sign_in_unknown", {"left_out": 2}),
    ]  # fmt: skip
    with store.read() as conn:
        assert all(one.startswith("account/hash:") for one in conn.execute(select(t.action.c.subject)).scalars())


def test_a_session_of_an_account_that_was_disabled_stays_ended_when_it_is_enabled(
    store: Store, clock: ManualClock, olga: Actor
) -> None:
    session = access.open_session(store, clock, olga)
    access.disable_account(store, clock, "olga", actor="admin")
    access.enable_account(store, clock, "olga", actor="admin")
    assert access.resume_session(store, clock, session.token) is None
