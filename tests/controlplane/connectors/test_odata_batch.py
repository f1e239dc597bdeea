"""`$batch`: what is built is read back by a parser that others wrote; what is answered badly is refused with the place of the flaw."""

from __future__ import annotations

from contextlib import suppress
from email import message_from_bytes
from email.message import Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.connectors.odata_batch import Asked, BatchFormatError, Reply, build, parse

KIND = "multipart/mixed; boundary=outer"
READ = b'Content-Type: application/http\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"d": {}}\r\n'
MADE = b'HTTP/1.1 201 Created\r\nsap-message: {"message": "late"}\r\n\r\n{"d": {"SalesOrder": "7"}}'
CHANGED = (
    b"Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\nContent-Type: application/http\r\n\r\n" + MADE + b"\r\n"
    b"--inner\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n--inner--\r\n"
)  # fmt: skip
REFUSED = b"Content-Type: application/http\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n" + b'{"error": {"code": "X/1"}}'


def whole(*parts: bytes) -> bytes:
    return b"".join(b"--outer\r\n" + part + b"\r\n" for part in parts) + b"--outer--"


def parts_of(message: Message) -> list[Message]:
    found = message.get_payload()
    assert isinstance(found, list)
    return [one for one in found if isinstance(one, Message)]


def test_reads_and_changesets_are_written_as_parts_that_another_parser_finds() -> None:
    kind, body = build(
        [
            Asked("GET", "A_X?$top=1"),
            [Asked("POST", "A_X", {"a": "ä"}), Asked("PATCH", "A_X('1')", {}, {"If-Match": "*"})],
        ]
    )
    read, changes = parts_of(message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body))
    assert read.get_content_type() == "application/http"
    assert str(read.get_payload()).startswith("GET A_X?$top=1 HTTP/1.1\r\nAccept: application/json\r\n\r\n")
    first, second = parts_of(changes)
    assert [first["content-id"], second["content-id"]] == ["1", "2"]
    assert 'Content-Length: 15\r\n\r\n{"a": "\\u00e4"}' in str(first.get_payload())
    assert "PATCH A_X('1') HTTP/1.1\r\nAccept: application/json\r\nIf-Match: *\r\n" in str(second.get_payload())


def test_replies_come_in_order_and_a_failed_changeset_is_one_reply() -> None:
    read, changed, refused = parse(KIND, whole(READ, CHANGED, REFUSED))
    assert isinstance(read, Reply)
    assert (read.status, read.json()) == (200, {"d": {}})
    assert isinstance(changed, list)
    assert [(one.status, one.content) for one in changed] == [(201, b'{"d": {"SalesOrder": "7"}}'), (204, b"")]
    assert changed[0].headers["sap-message"] == '{"message": "late"}'
    assert isinstance(refused, Reply)
    assert (refused.status, refused.json()) == (400, {"error": {"code": "X/1"}})


def test_line_ends_without_carriage_returns_and_a_quoted_boundary_are_read() -> None:
    body = whole(READ, CHANGED).replace(b"\r\n", b"\n")
    read, changed = parse('Multipart/Mixed;charset=utf-8; boundary="outer"', body)
    assert isinstance(read, Reply)
    assert isinstance(changed, list)
    assert (read.status, len(changed)) == (200, 2)


def test_a_boundary_within_a_body_is_none() -> None:
    told = READ.replace(b'{"d": {}}', b'{"d": "a --outer b"}')
    [read] = parse(KIND, whole(told))
    assert isinstance(read, Reply)
    assert read.json() == {"d": "a --outer b"}


@pytest.mark.parametrize(
    ("kind", "body", "position", "names"),
    [
        ("text/html", b"<p>", "", "not multipart/mixed"),
        ("multipart/mixed", whole(READ), "", "with a boundary"),
        (KIND, b"", "", "some of it is missing"),
        (KIND, whole(READ, READ)[:-9], "", "some of it is missing"),
        (KIND, whole(READ) + b"\r\n" + whole(READ), "", "goes on after"),
        (KIND, whole(READ, b"Content-Type: text/plain\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), "2", "not application/http"),
        (KIND, whole(READ, READ.replace(b"HTTP/1.1 200", b"HTTP/1.1 OK")), "2", "status line"),
        (KIND, whole(READ, b"what is this\r\n\r\n"), "2", "headers"),
        (KIND, whole(READ, CHANGED.replace(b"--inner--", b"")), "2", "some of it is missing"),
        (KIND, whole(READ, CHANGED.replace(b"HTTP/1.1 204", b"204")), "2.2", "status line"),
    ],
)
def test_an_answer_that_is_no_batch_is_refused_with_the_place(
    kind: str, body: bytes, position: str, names: str
) -> None:
    with pytest.raises(BatchFormatError, match=names) as raised:
        parse(kind, body)
    assert raised.value.position == position


pieces = st.sampled_from(
    [b"--outer", b"--outer--", b"--inner", b"\r\n", b"\n", READ, CHANGED, REFUSED, MADE, b":", b"HTTP/1.1 200"]
)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(st.binary(max_size=300), st.lists(st.one_of(pieces, st.binary(max_size=8)), max_size=14).map(b"".join))
)
def test_whatever_comes_is_read_or_refused_by_name(body: bytes) -> None:
    try:
        replies = parse(KIND, body)
    except BatchFormatError:
        return
    assert all(100 <= one.status <= 999 for found in replies for one in (found if isinstance(found, list) else [found]))


@settings(max_examples=200, deadline=None)
@given(st.integers(min_value=0), st.binary(max_size=4))
def test_a_good_answer_that_is_hurt_anywhere_is_read_or_refused_by_name(at: int, put: bytes) -> None:
    good = whole(READ, CHANGED, REFUSED)
    place = at % len(good)
    with suppress(BatchFormatError):
        parse(KIND, good[:place] + put + good[place + len(put) + 1 :])
