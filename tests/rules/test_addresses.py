"""Which addresses may be spoken to: the public ones, whatever their spelling, and exact pairs that policy states."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.addresses import (
    BLOCKS,
    GLOBAL_V6,
    Opens,
    Pair,
    block_of,
    is_odd,
    literal_of,
    literal_refusal,
    place_of,
    refusal,
)

V4 = st.integers(0, 2**32 - 1).map(IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(IPv6Address)
BLOCKED = st.sampled_from(BLOCKS).flatmap(
    lambda one: st.integers(0, one.network.num_addresses - 1).map(lambda at: one.network[at])
)
PUBLIC = (
    "8.8.8.8",
    "93.184.216.34",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2a00:1450:4001:81b::200e",
    "64:ff9b::808:808",
)


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_may_be_spoken_to(text: str) -> None:
    assert block_of(ip_address(text)) is None
    assert refusal("vendor.example", 443, [text]) is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("127.0.0.1", "loopback"), ("127.9.9.9", "loopback"), ("::1", "loopback"), ("0.0.0.0", "unspecified"), ("::", "unspecified"),  # noqa: S104 - only named
        ("10.1.2.3", "private"), ("172.16.0.1", "private"), ("192.168.1.1", "private"), ("fd12::5", "private"),
        ("100.64.0.1", "carrier"), ("169.254.1.1", "link-local"), ("fe80::1", "link-local"), ("fe80::1%eth0", "one link"),
        ("169.254.169.254", "metadata"), ("fd00:ec2::254", "metadata"), ("100.100.100.200", "metadata"), ("168.63.129.16", "metadata"),
        ("224.0.0.1", "multicast"), ("ff02::1", "multicast"), ("255.255.255.255", "reserved"), ("240.0.0.1", "reserved"),
        ("192.0.2.1", "documentation"), ("2001:db8::1", "documentation"), ("fec0::1", "reserved"), ("2001::1", "reserved"),
        ("::127.0.0.1", "reserved"), ("64:ff9b:1::a00:1", "reserved"), ("::ffff:127.0.0.1", "loopback, mapped into IPv6"),
        ("::ffff:169.254.169.254", "metadata"), ("64:ff9b::a9fe:a9fe", "metadata service of a cloud, behind NAT64"),
        ("2002:7f00:1::", "loopback, behind 6to4"), ("2002:a00:1::1", "private, behind 6to4"),
    ],
)  # fmt: skip
def test_what_is_not_public_is_named_and_refused(text: str, what: str) -> None:
    block = block_of(ip_address(text))
    assert block is not None
    assert what in block.what
    assert refusal("vendor.example", 443, [text]) is not None


@given(BLOCKED)
def test_every_address_of_the_table_is_blocked_also_within_ipv6(address: IPv4Address | IPv6Address) -> None:
    assert block_of(address) is not None
    if isinstance(address, IPv4Address):
        number = int(address)
        for form in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
            inner = block_of(IPv6Address(form))
            assert inner is not None
            assert inner.opens is Opens.NOTHING


@given(V4)
def test_of_ipv4_nothing_is_let_through_that_the_standard_library_calls_private_or_special(
    address: IPv4Address,
) -> None:
    if block_of(address) is None:
        assert not any((address.is_private, address.is_loopback, address.is_link_local, address.is_multicast))
        assert not any((address.is_reserved, address.is_unspecified))
        assert address not in IPv4Network("100.64.0.0/10")


@given(V6)
def test_of_ipv6_nothing_is_let_through_but_what_is_given_out_or_stands_for_public_ipv4(address: IPv6Address) -> None:
    if block_of(address) is None:
        embedded = address.ipv4_mapped or (
            IPv4Address(int(address) & 0xFFFFFFFF) if address in ip_network("64:ff9b::/96") else None
        )
        assert address in GLOBAL_V6 or (embedded is not None and block_of(embedded) is None)
        assert not (address.is_private or address.is_link_local or address.is_loopback) or embedded is not None


@given(BLOCKED, st.lists(st.sampled_from(PUBLIC), max_size=3), st.integers(0, 3))
def test_one_blocked_address_among_public_ones_is_enough_to_refuse(
    blocked: IPv4Address | IPv6Address, public: list[str], at: int
) -> None:
    mixed = [*public[:at], str(blocked), *public[at:]]
    found = refusal("vendor.example", 443, mixed)
    assert found is not None
    assert str(blocked) in found.rule


@given(V4)
def test_an_ipv4_address_in_another_spelling_is_refused_whatever_it_is(address: IPv4Address) -> None:
    number, parts = int(address), str(address).split(".")
    spellings = {
        str(number), hex(number), f"0{number:o}", ".".join(hex(int(part)) for part in parts), f"{parts[0]}.{number & 0xFFFFFF}",
        ".".join(f"0{int(part):o}" for part in parts),
    }  # fmt: skip
    for spelling in spellings - {str(address)}:
        assert is_odd(spelling), spelling
        found = literal_refusal(f"http://{spelling}:80/x")
        assert found is not None
        assert "odd spelling" in found.rule
    assert not is_odd(str(address))


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:8700", "http://127.1/", "http://2130706433", "http://[::1]:80/", "http://LOCALHOST/x", "http://a.localhost",
        "http://127.0.0.1.:80/", "http://\uff11\uff12\uff17.0.0.1/", "http://127\u30020\u30020\u30021/", "http://[::ffff:7f00:1]/",
        "http://user:pw@169.254.169.254/latest", "amqp://10.0.0.9", "rediss://[fd12::5]/0", "http://0/", "http://0x7f.0.0.1/",
    ],
)  # fmt: skip
def test_an_endpoint_that_is_not_public_on_its_face_is_refused(endpoint: str) -> None:
    assert literal_refusal(endpoint) is not None


@pytest.mark.parametrize(
    "endpoint", ["https://shop.example/admin", "https://8.8.8.8", "/var/drop", "x", "", "http://[::1", "https://"]
)
def test_names_public_addresses_and_folders_are_left_to_whoever_connects(endpoint: str) -> None:
    assert literal_refusal(endpoint) is None


def test_an_exact_pair_opens_its_own_port_only() -> None:
    pairs = [Pair.read("127.0.0.1:8081")]
    assert literal_refusal("http://127.0.0.1:8081/erp", pairs) is None
    assert literal_refusal("http://127.0.0.1:8082/erp", pairs) is not None
    assert literal_refusal("http://127.0.0.2:8081/erp", pairs) is not None
    assert literal_refusal("http://[::1]:8081/erp", pairs) is not None
    assert refusal("erp.corp.example", 8081, ["127.0.0.1"], pairs) is None


def test_a_pair_by_name_opens_private_addresses_and_never_loopback() -> None:
    pairs = [Pair.read("ERP.corp.example.:8443")]
    assert refusal("erp.corp.example", 8443, ["10.1.2.3", "fd12::5"], pairs) is None
    assert refusal("erp.corp.example", 443, ["10.1.2.3"], pairs) is not None
    assert refusal("other.corp.example", 8443, ["10.1.2.3"], pairs) is not None
    found = refusal("erp.corp.example", 8443, ["127.0.0.1"], pairs)
    assert found is not None
    assert "add '127.0.0.1:8443' to spec.internal" in found.remedy
    assert refusal("localhost", 8443, ["::1", "127.0.0.1"], [Pair.read("localhost:8443")]) is None


@pytest.mark.parametrize(
    "text", ["169.254.169.254", "fe80::1", "0.0.0.1", "224.0.0.1", "fd00:ec2::254", "100.100.100.200"]
)
def test_no_pair_opens_metadata_link_local_or_multicast(text: str) -> None:
    pairs = [Pair("vendor.example", 80), Pair(text, 80)]
    found = refusal("vendor.example", 80, [text], pairs)
    assert found is not None
    assert "no policy can allow that" in found.remedy


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "127.0.0.0/8:80", "*:80", "*.corp.example:80", "10.1.2.3:*", "10.1.2.3:0", "10.1.2.3:65536", "127.1:80", "::1:80",
     "[10.1.2.3]:80", "http://10.1.2.3:80", "10.1.2.3:80/x", ":80", "a b:80", "2130706433:80", "10.1.2.3:\u0661"],
)  # fmt: skip
def test_what_is_no_exact_pair_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no exact pair of host and port; write for instance 10\.1\.2\.3:8443"):
        Pair.read(text)


@given(st.one_of(V4, V6), st.integers(1, 65535))
def test_a_pair_is_read_as_it_is_written(address: IPv4Address | IPv6Address, port: int) -> None:
    pair = Pair(str(address), port)
    assert Pair.read(str(pair)) == pair
    assert literal_of(pair.host) == address
    assert place_of(f"https://{pair}/x") == ("https", pair)
