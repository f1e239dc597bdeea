"""Envelopes and their keys."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controlplane.errors import BadInputError, KeyMissingError, NotFoundError, SealError
from controlplane.sealing import Ring
from controlplane.sealing.ring import HEAD, MAGIC, key_of

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LABEL, CONTENT = "intake/1", b"anna@example.org"


@pytest.fixture
def ring() -> Ring:
    """New keys."""
    return Ring.new(AT)


def test_an_envelope_opens_under_its_label_and_holds_nothing_in_the_clear(ring: Ring) -> None:
    sealed = ring.seal(LABEL, CONTENT)
    assert ring.open(LABEL, sealed) == CONTENT
    assert CONTENT not in sealed
    assert sealed != ring.seal(LABEL, CONTENT), "the nonce is another each time"


def test_an_envelope_of_another_row_is_refused(ring: Ring) -> None:
    with pytest.raises(
        SealError, match="intake/2: the envelope was changed after it was sealed, or belongs to another"
    ):
        ring.open("intake/2", ring.seal(LABEL, CONTENT))


@pytest.mark.parametrize("place", [0, 2, HEAD, HEAD + 11, HEAD + 12, -1])
def test_an_envelope_that_was_changed_anywhere_is_refused(ring: Ring, place: int) -> None:
    sealed = bytearray(ring.seal(LABEL, CONTENT))
    sealed[place] ^= 1
    with pytest.raises(SealError):
        ring.open(LABEL, bytes(sealed))


@pytest.mark.parametrize("length", [0, 3, HEAD, HEAD + 12, HEAD + 20])
def test_an_envelope_that_was_cut_is_refused(ring: Ring, length: int) -> None:
    with pytest.raises(SealError):
        ring.open(LABEL, ring.seal(LABEL, CONTENT)[:length])


def test_an_envelope_relabelled_with_another_key_is_refused(ring: Ring) -> None:
    both = ring.rotated(AT)
    sealed = ring.seal(LABEL, CONTENT)
    other = MAGIC + both.keys[-1].id.encode() + sealed[HEAD:]
    with pytest.raises(SealError, match="changed after it was sealed"):
        both.open(LABEL, other)


def test_after_a_rotation_the_newest_key_seals_and_every_key_opens(ring: Ring) -> None:
    old, later = ring.seal(LABEL, CONTENT), ring.rotated(AT)
    new = later.seal(LABEL, CONTENT)
    assert key_of(new) == later.keys[-1].id != key_of(old)
    assert later.open(LABEL, old) == later.open(LABEL, new) == CONTENT
    with pytest.raises(KeyMissingError, match=f"key {key_of(new)}, which this process does not have"):
        ring.open(LABEL, new)


def test_what_a_destroyed_key_sealed_is_told_from_what_a_missing_one_did(ring: Ring) -> None:
    sealed = ring.seal(LABEL, CONTENT)
    left = ring.rotated(AT).without(ring.keys[0].id, AT)
    with pytest.raises(SealError, match="was destroyed at 2026-03-02T09:00:00") as told:
        left.open(LABEL, sealed)
    assert not isinstance(told.value, KeyMissingError)
    assert ring.keys[0].told()["key"] not in left.text


def test_the_key_that_seals_is_not_destroyed_and_neither_is_one_that_is_not_there(ring: Ring) -> None:
    with pytest.raises(SealError, match="rotate first"):
        ring.without(ring.keys[0].id, AT)
    with pytest.raises(NotFoundError, match="there is no key 'none'"):
        ring.without("none", AT)


def test_equal_values_have_equal_hashes_in_one_installation_and_after_a_rotation(ring: Ring) -> None:
    assert ring.hashed("a") == ring.rotated(AT).hashed("a") != ring.hashed("b")
    assert ring.hashed("a") != Ring.new(AT).hashed("a")
    assert ring.hashed("a").split(":")[1] == ring.hashing.id
    assert ring.rehashed(AT).hashed("a") != ring.hashed("a")


def test_a_ring_is_read_as_it_was_written_and_no_fault_of_it_tells_a_key(ring: Ring) -> None:
    again = Ring.read(ring.rotated(AT).without(ring.rotated(AT).keys[0].id, AT).text, "here")
    assert again.destroyed
    secret = ring.keys[0].told()["key"]
    for text in (ring.text[:-9], ring.text.replace(secret, secret[:8]), "{}", "[]", ""):
        with pytest.raises(BadInputError, match="here holds no keys") as told:
            Ring.read(text, "here")
        assert secret[:8] not in str(told.value)
    assert ring.keys[0].secret not in repr(ring).encode()
