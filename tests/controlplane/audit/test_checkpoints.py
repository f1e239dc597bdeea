"""Checkpoints outside: signed, never overwritten, and what a rewritten or shortened chain is found by."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update

from controlplane.audit.chain import FIRST, fingerprint
from controlplane.audit.checkpoints import Anchors, Checkpoint, Signer, found_in
from controlplane.audit.evidence import Finding, examine, export
from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, UnavailableError
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.audit.test_chain import tampering, write_some


@pytest.fixture
def outside(tmp_path: Path) -> str:
    return str(tmp_path / "outside")


@pytest.fixture
def anchors(store: Store, clock: ManualClock, tmp_path: Path, outside: str) -> Anchors:
    return Anchors(store, clock, tmp_path / "key.pem", [outside])


def exported(store: Store, clock: ManualClock) -> list[str]:
    with store.read() as conn:
        return list(export(conn, clock))


def installation(store: Store) -> str:
    with store.read() as conn:
        return str(conn.execute(select(t.audit_head.c.installation)).scalar_one())


def kept(store: Store, outside: str) -> Sequence[Checkpoint]:
    return found_in(outside, installation(store))


def checked(store: Store, clock: ManualClock, outside: str, trusted: Sequence[str] = ()) -> Finding:
    return examine(exported(store, clock), kept(store, outside), trusted)


@pytest.mark.parametrize(
    ("line", "added", "told"),
    [
        (2, '"extra":"hidden",', "line 3: holds 'extra', which no export writes"),
        (2, '"reason":"FORGED",', "line 3: holds 'reason' more than once"),
        (0, '"approved":true,', "line 1: holds 'approved', which no export writes"),
        (-1, '"note":"x",', "holds 'note', which no export writes"),
    ],
    ids=["field", "doubled", "heading", "checkpoint"],
)
def test_what_was_added_to_a_line_of_an_export_is_found(
    store: Store, clock: ManualClock, anchors: Anchors, line: int, added: str, told: str
) -> None:
    write_some(store, clock, 3)
    anchors.advance()
    lines = exported(store, clock)
    assert examine(lines).problems == []
    lines[line] = "{" + added + lines[line][1:]
    [problem] = examine(lines).problems
    assert told in problem


def test_the_head_is_signed_once_and_written_outside(
    store: Store, clock: ManualClock, anchors: Anchors, outside: str, tmp_path: Path
) -> None:
    assert anchors.advance() == {"signed": 0, "written": 0}, "nothing was done yet"
    write_some(store, clock, 3)
    assert anchors.advance() == {"signed": 3, "written": 1}
    assert anchors.advance() == {"signed": 0, "written": 0}
    write_some(store, clock, 2)
    assert anchors.advance() == {"signed": 5, "written": 1}
    assert [one.seq for one in kept(store, outside)] == [3, 5]
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0, "nobody else may read the key"


def test_an_export_is_whole_and_tells_what_is_not_anchored(
    store: Store, clock: ManualClock, anchors: Anchors, outside: str, tmp_path: Path
) -> None:
    write_some(store, clock, 3)
    anchors.advance()
    write_some(store, clock, 2)
    signer = Signer(tmp_path / "key.pem")
    found = checked(store, clock, outside, [signer.public_key])
    assert (found.problems, found.actions, found.anchored_to, found.tail) == ([], 5, 3, (4, 5))
    assert (found.keys, found.trusted) == ([signer.key], True)


def test_a_place_that_is_away_gets_its_checkpoints_later(
    store: Store, clock: ManualClock, tmp_path: Path, outside: str
) -> None:
    (tmp_path / "away").write_text("a file where a folder should be")
    both = Anchors(store, clock, tmp_path / "key.pem", [str(tmp_path / "away"), outside])
    write_some(store, clock, 1)
    with pytest.raises(UnavailableError, match="away"):
        both.advance()
    assert [one.seq for one in kept(store, outside)] == [1], "the other place has it"
    write_some(store, clock, 1)
    (tmp_path / "away").unlink()
    assert both.advance() == {"signed": 2, "written": 2}
    assert [one.seq for one in kept(store, str(tmp_path / "away"))] == [1, 2]
    with store.read() as conn:
        places = set(conn.execute(select(t.audit_checkpoint.c.written_to)).scalars())
    assert places == {" ".join(both.places)}


def test_a_chain_that_was_written_anew_is_whole_and_contradicts_its_checkpoint(
    store: Store, clock: ManualClock, anchors: Anchors, outside: str
) -> None:
    write_some(store, clock, 4)
    anchors.advance()
    rewrite(store, 2)
    inside_only = examine([line for line in exported(store, clock) if '"checkpoint"' not in line[:25]])
    assert inside_only.problems == [], "the chain alone does not show it"
    [problem] = checked(store, clock, outside).problems
    assert "saw another chain; some action up to 4 was written anew" in problem


def rewrite(store: Store, changed: int) -> None:
    """Change an action and make all later hashes fit, as somebody does who owns the database and knows how."""
    with tampering(store) as conn:
        previous = FIRST
        for row in conn.execute(select(t.action).order_by(t.action.c.seq)).mappings().all():
            told = dict(row) | {"previous_hash": previous}
            if told["seq"] == changed:
                told["reason"] = "never happened"
            previous = told["hash"] = fingerprint(told)
            conn.execute(update(t.action).where(t.action.c.seq == told["seq"]).values(**told))
        conn.execute(update(t.audit_head).values(hash=previous))


def test_an_end_that_was_cut_off_is_named(store: Store, clock: ManualClock, anchors: Anchors, outside: str) -> None:
    write_some(store, clock, 5)
    anchors.advance()
    with tampering(store) as conn:
        conn.execute(delete(t.action).where(t.action.c.seq > 3))
        last = conn.execute(select(t.action.c.hash).where(t.action.c.seq == 3)).scalar_one()
        conn.execute(update(t.audit_head).values(seq=3, hash=last))
        conn.execute(delete(t.audit_checkpoint))
    [problem] = checked(store, clock, outside).problems
    assert problem.startswith("actions 4 to 5: cut off at the end; the checkpoint of action 5")


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        (lambda lines: [*lines[:2], lines[2].replace("größer", "kleiner"), *lines[3:]], "action 2: was changed"),
        (lambda lines: [*lines[:2], *lines[3:]], "action 2 to 2: missing"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "action 1: stands behind action 2"),
        (lambda lines: [*lines[:4], *lines[5:]], "ends at action 4, and it holds actions up to 3"),
    ],
)
def test_what_was_done_to_a_file_is_found(store: Store, clock: ManualClock, deed, told) -> None:  # type: ignore[no-untyped-def]
    write_some(store, clock, 4)
    problems = examine(deed(exported(store, clock))).problems
    assert any(told in problem for problem in problems), problems


def test_a_checkpoint_that_was_changed_or_signed_by_somebody_else_vouches_for_nothing(
    store: Store, clock: ManualClock, anchors: Anchors, outside: str, tmp_path: Path
) -> None:
    write_some(store, clock, 2)
    anchors.advance()
    [one] = kept(store, outside)
    lines = [line for line in exported(store, clock) if '"checkpoint"' not in line[:25]]
    changed = Checkpoint.read(one.text.replace(one.hash, "f" * 64), "here")
    found = examine(lines, [changed])
    assert "its signature does not fit" in found.problems[0]
    assert found.tail == (1, 2)
    stranger = Signer(tmp_path / "other.pem").sign(one.installation, one.seq, one.hash, one.at)
    assert examine(lines, [stranger]).problems == [], "nobody said whose key counts"
    [problem] = examine(lines, [stranger], [one.public_key]).problems
    assert "none of those that are trusted" in problem


def test_the_checkpoint_of_another_installation_is_told_apart(
    store: Store, clock: ManualClock, anchors: Anchors, tmp_path: Path
) -> None:
    write_some(store, clock, 2)
    other = Signer(tmp_path / "other.pem").sign("f" * 32, 1, "e" * 64, clock.now())
    [problem] = examine(exported(store, clock), [other]).problems
    assert "belongs to another installation" in problem


def test_a_checkpoint_outside_is_never_overwritten(
    store: Store, clock: ManualClock, anchors: Anchors, outside: str
) -> None:
    write_some(store, clock, 2)
    anchors.advance()
    [one] = kept(store, outside)
    path = Path(outside) / one.installation / one.name
    path.write_text("{}")
    with store.write() as conn:
        conn.execute(update(t.audit_checkpoint).values(written_to=""))
    with pytest.raises(BadInputError, match="holds another checkpoint"):
        anchors.advance()
    assert path.read_text() == "{}"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "the file is empty"),
        (["{"], "line 1: is not JSON"),
        (['{"type": "action"}'], "line 1: is not the heading"),
        (["[]"], "line 1: has no type"),
        (['{"type": "chain", "seq": NaN}'], "line 1: is not JSON (NaN is no number)"),
        (['{"type": "chain", "format": "\\ud800"}'], "line 1: is not JSON"),
        (["[" * 100_000], "line 1: is not JSON"),
        (['{"type":"chain","format":9,"installation":"a","seq":0,"hash":""}'], "line 1: an export of format 9"),
        ([json.dumps({"type": "chain", "format": 1, "installation": "a", "seq": 0, "hash": FIRST}), '{"type":"action"}'],
         "line 2: the action lacks 'seq'"),
        ([json.dumps({"type": "chain", "format": 1, "installation": "a", "seq": 0, "hash": FIRST}), '{"type":"song"}'],
         "line 2: is of the type 'song'"),
        ([json.dumps({"type": "chain", "format": 1, "installation": "a", "seq": 0, "hash": FIRST}), '{"type":"checkpoint"}'],
         "line 2: is no checkpoint"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_export_is_refused_by_line(lines: list[str], told: str) -> None:
    with pytest.raises(BadInputError, match="^" + re.escape(told)) as caught:
        examine(lines)
    assert str(caught.value)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(BadInputError, match="is no private key"):
        Signer(tmp_path / "key.pem")


def test_two_planes_that_sign_at_the_same_action_leave_one_checkpoint(
    store: Store, clock: ManualClock, tmp_path: Path, outside: str
) -> None:
    first, second = (Anchors(store, clock, tmp_path / f"{name}.pem", [outside]) for name in ("a", "b"))
    write_some(store, clock, 2)
    first.advance()
    assert second.advance() == {"signed": 0, "written": 0}
    assert len(kept(store, outside)) == 1


def test_tables_that_lose_their_rows_do_not_take_the_outside_with_them(
    store: Store, clock: ManualClock, anchors: Anchors, outside: str
) -> None:
    write_some(store, clock, 2)
    anchors.advance()
    with tampering(store) as conn:
        conn.execute(delete(t.audit_checkpoint))
        row = conn.execute(select(t.action).where(t.action.c.seq == 2)).mappings().one()
        conn.execute(delete(t.action).where(t.action.c.seq == 2))
        conn.execute(insert(t.action).values(**dict(row) | {"reason": "x", "hash": row["hash"]}))
    problems = checked(store, clock, outside).problems
    assert problems == ["action 2: was changed after it was written; compare it with a backup"]
