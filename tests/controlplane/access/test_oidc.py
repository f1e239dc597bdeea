"""Signing in by OpenID Connect: which answers of a provider are believed, and what account and roles come of them."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import select

from controlplane import access
from controlplane.access import Actor, Oidc, Proof, StepUp, admit, find_actor
from controlplane.access.members import Grant, Member, granted, read_roles
from controlplane.audit import verify
from controlplane.clock import ManualClock
from controlplane.errors import ConflictError, SettingsError, SignInError, StepUpError, UnavailableError
from controlplane.settings import Settings, load_settings
from controlplane.store import Store
from controlplane.store import tables as t
from rules.reach import Reach
from tests.controlplane.access.provider import CLIENT, SECRET, TinyProvider, elliptic, tiny_provider
from tests.web import PASSWORD

ROLES = {"editors": {"roles": ["editor"], "team": "platform"}, "deciders": {"roles": ["approver"], "team": "finance"}}
START = datetime.fromisoformat("2026-03-02T09:00:00+00:00")
QUICK = 0.0005
"""Pace of a clock whose minutes are milliseconds."""


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still, but for the stopwatch."""
    return ManualClock(START, QUICK)


@pytest.fixture
def provider(clock: ManualClock) -> Iterator[TinyProvider]:
    with tiny_provider(clock) as made:
        made.claims = {"groups": ["editors", "others"], "name": "Ada Okafor", "preferred_username": "ada"}
        yield made


@pytest.fixture
def settings(provider: TinyProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TEST_OIDC_SECRET", SECRET)
    return Settings(
        home=tmp_path, oidc_issuer=provider.url, oidc_client_id=CLIENT, oidc_client_secret="env:TEST_OIDC_SECRET",
        oidc_roles=json.dumps(ROLES), public_url="https://trueup.example", oidc_name="Company",
    )  # fmt: skip


def made(settings: Settings, clock: ManualClock, **changes: Any) -> Oidc:
    found = Oidc.configured(settings.model_copy(update=changes), clock)
    assert found is not None
    return found


@pytest.fixture
def oidc(settings: Settings, clock: ManualClock) -> Oidc:
    return made(settings, clock)


def signed_in(oidc: Oidc, provider: TinyProvider, **begin: Any) -> Member:
    address, begun = oidc.begin(**begin)
    return oidc.finish(begun, provider.sign_in(address))


# --- what is asked, and what is believed ---


def test_a_sign_in_asks_for_a_code_with_pkce_state_and_nonce_and_redeems_it_with_the_verifier(
    oidc: Oidc, provider: TinyProvider
) -> None:
    address, begun = oidc.begin("/policies")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
    assert asked == {
        "response_type": "code", "client_id": CLIENT, "scope": "openid profile", "state": begun.state, "nonce": begun.nonce,
        "redirect_uri": "https://trueup.example/login/oidc/callback", "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    member = oidc.finish(begun, provider.sign_in(address))
    assert (member.issuer, member.subject, member.grant) == (
        provider.url,
        "u-1",
        Grant(frozenset({"editor"}), "platform"),
    )
    [exchange] = provider.exchanges
    assert (exchange["code_verifier"], exchange["user"]) == (begun.verifier, CLIENT)


def test_two_sign_ins_share_nothing(oidc: Oidc) -> None:
    first, second = oidc.begin()[1], oidc.begin()[1]
    assert not {first.state, first.nonce, first.verifier} & {second.state, second.nonce, second.verifier}


def test_a_token_may_hold_hundreds_of_groups(oidc: Oidc, provider: TinyProvider) -> None:
    provider.claims["groups"] = [*(f"5f1b6f0e-7d3c-4d0a-9f57-{number:012}" for number in range(400)), "editors"]
    assert signed_in(oidc, provider).grant.roles == {"editor"}


def claim(**claims: Any) -> Callable[[TinyProvider], None]:
    def change(provider: TinyProvider) -> None:
        provider.claims |= claims

    return change


def at(seconds: int) -> int:
    return int(START.timestamp()) + seconds


def by_the_clients_secret(provider: TinyProvider) -> None:
    provider.key, provider.header = OctKey.import_key(SECRET), {"alg": "HS256", "kid": "rsa-1"}


def by_a_symmetric_key_that_is_published(provider: TinyProvider) -> None:
    provider.key = OctKey.generate_key(256, {"kid": "oct-1"})
    provider.keys, provider.header = [*provider.keys, provider.key], {"alg": "HS256", "kid": "oct-1"}


def by_nobody(provider: TinyProvider) -> None:
    provider.header = {"alg": "none", "kid": "rsa-1"}


def by_another_key_of_that_name(provider: TinyProvider) -> None:
    provider.key = RSAKey.generate_key(2048, {"kid": "rsa-1"})


def by_a_key_that_it_brings(provider: TinyProvider) -> None:
    provider.key = elliptic()
    provider.header = {"alg": "ES256", "kid": "ec-1", "jwk": provider.key.as_dict(private=False)}


REFUSED = {
    "another nonce": claim(nonce="another"), "no nonce": claim(nonce=None), "another aud": claim(aud="other"),
    "aud beside others without azp": claim(aud=[CLIENT, "other"]), "azp of another": claim(aud=[CLIENT, "other"], azp="other"),
    "no aud": claim(aud=None), "another iss": claim(iss="https://evil.example"), "no iss": claim(iss=None),
    "expired": claim(exp=at(-61)), "no exp": claim(exp=None), "exp that is no number": claim(exp="never"),
    "issued in the future": claim(iat=at(120)), "not valid yet": claim(nbf=at(120)), "no sub": claim(sub=None),
    "a sub that is no text": claim(sub=7), "an empty sub": claim(sub=""), "a sub that is too long": claim(sub="x" * 256),
    "a sub with a line break": claim(sub="ada\nadmin"), "signed in in the future": claim(auth_time=at(3600)),
    "the hash of another access token": claim(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
    "no signature": by_nobody, "signed by the client's secret": by_the_clients_secret,
    "signed by a published symmetric key": by_a_symmetric_key_that_is_published,
    "signed by another key": by_another_key_of_that_name, "signed by a key in its own header": by_a_key_that_it_brings,
}  # fmt: skip


@pytest.mark.parametrize("wrong", REFUSED)
def test_an_id_token_is_refused(oidc: Oidc, provider: TinyProvider, wrong: str) -> None:
    REFUSED[wrong](provider)
    with pytest.raises(SignInError, match="Company"):
        signed_in(oidc, provider)


def test_an_id_token_whose_content_was_changed_is_refused(oidc: Oidc, provider: TinyProvider) -> None:
    _, begun = oidc.begin()
    head, _, signature = provider.token(begun.nonce).split(".")
    provider.claims["groups"] = ["deciders"]
    other = provider.token(begun.nonce).split(".")[1]
    with pytest.raises(SignInError, match="bad_signature"):
        oidc._claims(begun, {"id_token": f"{head}.{other}.{signature}"})
    for nonsense in ("", "a.b", "a.b.c", "é.é.é"):
        with pytest.raises(SignInError, match="is refused"):
            oidc._claims(begun, {"id_token": nonsense})


def test_clocks_may_differ_by_a_minute(oidc: Oidc, provider: TinyProvider) -> None:
    provider.claims |= {"iat": at(59), "exp": at(-59), "auth_time": at(30)}
    assert signed_in(oidc, provider).proof.auth_time == START


def test_an_answer_to_another_sign_in_is_refused(oidc: Oidc, provider: TinyProvider) -> None:
    address, begun = oidc.begin()
    answer = provider.sign_in(address)
    for wrong in ({**answer, "state": "x"}, {"code": answer["code"]}, {**answer, "iss": "https://evil.example"}):
        with pytest.raises(SignInError, match="sign in again"):
            oidc.finish(begun, wrong)
    assert provider.exchanges == []
    with pytest.raises(SignInError, match=r"Company let nobody in \(access_denied no thanks\)"):
        oidc.finish(begun, {"state": begun.state, "error": "access_denied", "error_description": "no thanks"})
    assert oidc.finish(begun, {**answer, "iss": provider.url}).subject == "u-1"


def test_a_provider_that_names_itself_in_its_answers_has_to_do_so(oidc: Oidc, provider: TinyProvider) -> None:
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    with pytest.raises(SignInError, match="is not from"):
        signed_in(oidc, provider)


def test_a_code_is_taken_once(oidc: Oidc, provider: TinyProvider) -> None:
    address, begun = oidc.begin()
    answer = provider.sign_in(address)
    oidc.finish(begun, answer)
    with pytest.raises(SignInError, match=r"did not take the code \(invalid_grant\)"):
        oidc.finish(begun, answer)


def test_a_new_key_is_found_by_its_name(oidc: Oidc, provider: TinyProvider, clock: ManualClock) -> None:
    signed_in(oidc, provider)
    new = elliptic()
    provider.keys, provider.key, provider.header = [new], new, {"alg": "ES256", "kid": "ec-1"}
    clock.wait(threading.Event(), 61)
    assert signed_in(oidc, provider).subject == "u-1"
    asked = provider.asked.count("/keys")
    assert asked == 2, "and not read for every sign-in"


def test_groups_are_read_beside_the_token_and_of_the_same_person_only(oidc: Oidc, provider: TinyProvider) -> None:
    provider.claims = {}
    provider.userinfo = {"sub": "u-1", "groups": ["deciders"], "name": "Ada"}
    assert signed_in(oidc, provider).grant.roles == {"approver"}
    provider.userinfo["sub"] = "u-2"
    with pytest.raises(SignInError, match="another person"):
        signed_in(oidc, provider)


def test_groups_may_lie_deeper(settings: Settings, clock: ManualClock, provider: TinyProvider) -> None:
    oidc = made(settings, clock, oidc_groups_claim="realm_access.roles")
    provider.claims = {"realm_access": {"roles": ["deciders"]}}
    assert signed_in(oidc, provider).grant.roles == {"approver"}
    oidc = made(settings, clock, oidc_groups_claim="https://example.com/groups")
    provider.claims = {"https://example.com/groups": "editors"}
    assert signed_in(oidc, provider).grant.roles == {"editor"}


def test_the_secret_goes_where_the_provider_wants_it(oidc: Oidc, provider: TinyProvider) -> None:
    provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    signed_in(oidc, provider)
    [exchange] = provider.exchanges
    assert (exchange["client_secret"], exchange["user"]) == (SECRET, "")


# --- the provider itself ---


def test_a_provider_that_is_down_is_told_of_and_asked_again_later(
    settings: Settings, provider: TinyProvider, clock: ManualClock
) -> None:
    oidc = made(settings, ManualClock(START, pace=100.0))
    provider.broken = True
    for _ in range(3):
        with pytest.raises(
            UnavailableError, match=r"Company cannot be used now .*sign in with an account of this plane"
        ):
            oidc.begin()
    assert len(provider.asked) == 1, "who comes right after a failure does not wait for another"
    quick = made(settings, clock)
    with pytest.raises(UnavailableError):
        quick.begin()
    provider.broken = False
    clock.wait(threading.Event(), 6)
    assert quick.begin()[0].startswith(provider.url)


def test_nothing_is_asked_of_a_provider_before_somebody_wants_to_sign_in(oidc: Oidc, provider: TinyProvider) -> None:
    assert provider.asked == []


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"issuer": "https://evil.example"}, "correct TRUEUP_OIDC_ISSUER"),
        ({"token_endpoint": ""}, "token_endpoint"),
        ({"authorization_endpoint": "ftp://x"}, "authorization_endpoint"),
    ],
)
def test_a_discovery_document_that_is_not_the_providers_is_not_used(
    oidc: Oidc, provider: TinyProvider, metadata: dict[str, str], told: str
) -> None:
    provider.metadata = metadata
    with pytest.raises(UnavailableError, match=told):
        oidc.begin()


# --- proving anew ---


def test_proving_anew_makes_the_provider_ask_and_looks_at_what_it_vouches_for(
    settings: Settings, clock: ManualClock, provider: TinyProvider
) -> None:
    oidc = made(settings, clock, step_up_age=600, oidc_acr="mfa phr")
    address, _ = oidc.begin(again=True)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert (asked["prompt"], asked["max_age"], asked["acr_values"]) == ("login", "600", "mfa phr")
    good = {"auth_time": at(-5), "acr": "phr", "amr": ["pwd", "otp"]}
    for wrong in ({"auth_time": None}, {"auth_time": at(-601)}, {"acr": "pwd"}, {"acr": None}):
        provider.claims |= {**good, **wrong}
        with pytest.raises(SignInError, match="Company"):
            signed_in(oidc, provider, again=True)
    provider.claims |= good
    found = signed_in(oidc, provider, again=True)
    assert found.proof == Proof(START - timedelta(seconds=5), "phr", ("pwd", "otp"))


def test_one_rule_says_whether_a_proof_is_good_enough() -> None:
    rule = StepUp(timedelta(minutes=10), ("mfa",))
    local = Actor("ben", frozenset({"approver"}), proof=Proof(START))
    member = replace(local, issuer="https://id.example", proof=Proof(START, "mfa"))
    late = START + timedelta(minutes=10, seconds=1)
    assert [rule.lacking(one, START + timedelta(minutes=10)) for one in (local, member)] == ["", ""]
    assert "within the last 10m" in rule.lacking(local, late)
    assert "within the last 10m" in rule.lacking(replace(member, proof=Proof(None, "mfa")), START)
    assert "signed in by 'pwd', and it takes mfa" in rule.lacking(replace(member, proof=Proof(START, "pwd")), START)
    assert "service token" in rule.lacking(replace(local, proof=None), START)
    assert StepUp(timedelta(0)).lacking(replace(member, proof=None), late) == ""
    with pytest.raises(StepUpError, match="prove anew") as refused:
        rule.require(local, late)
    assert (refused.value.max_age, refused.value.acr) == (600, ())


# --- accounts ---


def member(subject: str = "u-1", known_as: str = "ada", groups: tuple[str, ...] = ("editors",)) -> Member:
    grant = granted(read_roles(json.dumps(ROLES)), groups)
    return Member("https://id.example/realm", subject, known_as, known_as.title(), grant, Proof(START))


def actions(store: Store) -> list[str]:
    with store.read() as conn:
        assert verify(conn) == []
        return list(conn.execute(select(t.action.c.action).order_by(t.action.c.seq)).scalars())


def test_the_account_is_the_subjects_whatever_it_is_called(store: Store, clock: ManualClock) -> None:
    access.create_account(store, clock, "ada", PASSWORD, ["admin"], actor="setup")
    first = access.admit(store, clock, member())
    assert (first.name, first.roles, first.team) == ("ada@id.example", {"editor"}, "platform")
    renamed = access.admit(store, clock, member(known_as="ada.okafor"))
    assert renamed.name == first.name
    namesake = access.admit(store, clock, member("u-2"))
    assert namesake.name == "ada@id.example#2"
    elsewhere = access.admit(store, clock, replace(member(), issuer="https://id.example/other"))
    assert elsewhere.name == "ada@id.example#3"
    assert access.authenticate(store, clock, first.name, "") is None
    assert access.authenticate(store, clock, first.name, PASSWORD) is None
    with pytest.raises(ConflictError, match=r"signs in at https://id\.example/realm"):
        access.set_password(store, clock, first.name, PASSWORD, actor="admin")


def test_whatever_a_provider_writes_can_be_stored_and_no_name_is_too_long(
    oidc: Oidc, provider: TinyProvider, store: Store, clock: ManualClock
) -> None:
    provider.claims |= {
        "name": "A\x00da",
        "preferred_username": "x" * 500,
        "acr": "mfa\x00",
        "amr": ["p\x00wd", 7],
    }
    provider.claims |= {"sub": "s" * 255}
    found = signed_in(oidc, provider)
    assert (found.display_name, found.proof.acr, found.proof.amr) == ("Ada", "mfa", ("pwd", ""))
    far = replace(found, issuer=f"https://{'h' * 180}")
    assert [len(access.admit(store, clock, one).name) for one in (far, replace(far, subject="other"))] == [180, 182]
    said = {"error": "access_denied", "error_description": "no\x00"}
    _, begun = oidc.begin()
    with pytest.raises(SignInError, match=r"\(access_denied no\)") as refused:
        oidc.finish(begun, {"state": begun.state, **said})
    access.refuse(store, clock, provider.url, str(refused.value))


def test_one_person_who_signs_in_twice_at_once_for_the_first_time_has_one_account(
    store: Store, clock: ManualClock
) -> None:
    with ThreadPoolExecutor(4) as pool:
        names = set(pool.map(lambda _: access.admit(store, clock, member()).name, range(8)))
    assert names == {"ada@id.example"}
    assert sorted(actions(store)) == ["account.create", *["account.sign_in"] * 8]


def test_roles_and_team_are_those_of_the_groups_at_every_sign_in(store: Store, clock: ManualClock) -> None:
    name = access.admit(store, clock, member()).name
    session = access.open_session(store, clock, access.admit(store, clock, member()), Proof(START))
    both = access.admit(store, clock, member(groups=("deciders", "editors")))
    assert (both.roles, both.team) == ({"editor", "approver"}, "platform")
    with pytest.raises(SignInError, match="none of the groups there gives a role here"):
        access.admit(store, clock, member(groups=("others",)))
    resumed = access.resume_session(store, clock, session.token)
    assert resumed is not None
    assert resumed.actor == Actor(name, frozenset())
    assert not access.allowed(resumed.actor, "view")
    assert actions(store) == [
        "account.create", "account.sign_in", "account.sign_in", "account.roles", "account.sign_in", "account.roles",
        "account.sign_in_refused",
    ]  # fmt: skip


def test_who_becomes_an_approver_by_his_groups_waits_as_one_whom_an_admin_makes(
    store: Store, clock: ManualClock
) -> None:
    """Whoever looks after the provider could otherwise put himself among the approvers, vote, and leave again unseen."""

    def waits(name: str) -> str:
        with store.read() as conn:
            return access.unready(conn, name, frozenset({"ada"}), clock.now(), access.DAY)

    ben = access.admit(store, clock, member("u-2", "ben", ("deciders",))).name
    ada = access.admit(store, clock, member()).name
    assert "'the identity provider' made that account within the last 1d" in waits(ben)
    clock.advance(access.DAY.total_seconds() + 1)
    access.admit(store, clock, member("u-2", "ben", ("deciders",)))
    assert waits(ben) == "", "signing in again as before costs nothing"
    access.admit(store, clock, member(groups=("editors", "deciders")))
    assert "'the identity provider' gave the right to approve to that account" in waits(ada)
    assert waits(ben) == ""


def test_whom_no_group_gives_a_role_gets_no_account(store: Store, clock: ManualClock) -> None:
    with pytest.raises(SignInError, match="'ada' is known at"):
        access.admit(store, clock, member(groups=()))
    with store.read() as conn:
        assert conn.execute(select(t.account)).all() == []
    assert actions(store) == ["account.sign_in_refused"]


def test_a_disabled_account_stays_out_and_as_it_was(store: Store, clock: ManualClock) -> None:
    name = access.admit(store, clock, member()).name
    access.disable_account(store, clock, name, actor="admin")
    with pytest.raises(SignInError, match="is disabled"):
        access.admit(store, clock, member(groups=("deciders",)))
    with store.read() as conn:
        assert conn.execute(select(t.account.c.roles)).scalar_one() == ["editor"]
    assert actions(store)[-1] == "account.sign_in_refused"


def test_a_session_keeps_how_it_was_proved_who_it_is(store: Store, clock: ManualClock) -> None:
    proof = Proof(START - timedelta(minutes=1), "mfa", ("pwd", "otp"))
    actor = access.admit(store, clock, member())
    resumed = access.resume_session(store, clock, access.open_session(store, clock, actor, proof).token)
    assert resumed is not None
    assert (resumed.actor.proof, resumed.actor.issuer) == (proof, "https://id.example/realm")
    local = access.create_account(store, clock, "olga", PASSWORD, ["operator"], actor="setup")
    resumed = access.resume_session(store, clock, access.open_session(store, clock, local).token)
    assert resumed is not None
    assert resumed.actor.proof == Proof(START, None, ("pwd",))
    program = access.check_token(store, clock, access.issue_token(store, clock, "olga", "test", actor="setup"))
    assert program is not None
    assert program.proof is None


# --- settings ---


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"oidc_roles": "{"}, "TRUEUP_OIDC_ROLES: is no JSON"),
        ({"oidc_roles": "{}"}, "TRUEUP_OIDC_ROLES: names no group"),
        ({"oidc_roles": '{"a": ["editor"]}'}, "TRUEUP_OIDC_ROLES: 'a' holds something else"),
        ({"oidc_roles": '{"a": {"roles": []}}'}, "TRUEUP_OIDC_ROLES: 'a' gives no list of roles"),
        (
            {"oidc_roles": '{"a": {"roles": ["king"]}}'},
            "TRUEUP_OIDC_ROLES: 'a' gives the role 'king', and there are: viewer",
        ),
        (
            {"oidc_roles": '{"a": {"roles": ["viewer"], "team": 7}}'},
            "TRUEUP_OIDC_ROLES: 'a' has a team that is no name",
        ),
        ({"oidc_client_secret": "env:NOT_SET_AT_ALL"}, "TRUEUP_OIDC_CLIENT_SECRET .* is empty or not set"),
        ({"oidc_client_secret": "file:nothing"}, "TRUEUP_OIDC_CLIENT_SECRET .* cannot be read"),
    ],
)
def test_what_is_wrong_is_told_before_anything_starts(
    settings: Settings, clock: ManualClock, changes: dict[str, str], told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        made(settings, clock, **changes)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"oidc_issuer": "http://id.example"}, "TRUEUP_OIDC_ISSUER='http://id.example': is no https address"),
        ({"public_url": "trueup.example"}, "TRUEUP_PUBLIC_URL=.hidden.: is no https address"),
        ({"oidc_issuer": "https://id.example"}, "TRUEUP_OIDC_CLIENT_ID is not set, and TRUEUP_OIDC_ISSUER is"),
        ({"oidc_client_secret": "hunter2"}, r"TRUEUP_OIDC_CLIENT_SECRET=\(hidden\): .* give env:NAME or file:NAME"),
        ({"oidc_scopes": "profile"}, "TRUEUP_OIDC_SCOPES='profile': asks for no ID token"),
        ({"step_up_age": -1}, "TRUEUP_STEP_UP_AGE=-1: .* 0 asks nobody again"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load_settings(**given)


@pytest.mark.parametrize(
    ("groups", "reach"),
    [
        (("north",), {"brands": ["north"]}),
        (("both",), {"brands": ["north", "south"]}),
        (("both", "north"), {"brands": ["north"]}),
        (("north", "south"), {"brands": []}),
        (("north", "free"), {"brands": ["north"]}),
        (("free",), None),
    ],
)
def test_somebody_of_several_groups_reaches_what_is_common_to_them(groups: tuple[str, ...], reach: Any) -> None:
    told = {
        "north": {"roles": ["viewer"], "reach": {"brands": ["north"]}}, "south": {"roles": ["operator"], "reach": {"brands": ["south"]}},
        "both": {"roles": ["viewer"], "reach": {"brands": ["north", "south"]}}, "free": {"roles": ["viewer"]},
    }  # fmt: skip
    assert granted(read_roles(json.dumps(told)), groups).reach.told() == reach


@pytest.mark.parametrize("reach", [{}, [], {"brands": []}, {"brands": "north"}, {"brand": ["north"]}, {"brands": [1]}])
def test_a_reach_that_confines_to_nothing_is_a_slip_and_refused(reach: Any) -> None:
    with pytest.raises(SettingsError, match="reach"):
        read_roles(json.dumps({"g": {"roles": ["viewer"], "reach": reach}}))


def test_the_reach_of_the_groups_is_that_of_the_account_from_the_next_sign_in_on(
    store: Store, clock: ManualClock
) -> None:
    for names in (["north"], ["south"]):
        grant = Grant(frozenset({"viewer"}), None, Reach(brands=frozenset(names)))
        actor = admit(store, clock, Member("https://id.example", "u", "nora", "Nora", grant, Proof(START)))
        assert actor.reach == grant.reach
        with store.read() as conn:
            found = find_actor(conn, actor.name)
        assert found is not None
        assert found.reach == grant.reach
