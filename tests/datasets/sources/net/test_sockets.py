"""Which servers may be connected to. Every spelling of a forbidden address is refused, and so is every name of one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from datasets.errors import SourceError
from datasets.sources.net.ip import is_public, literal, never
from datasets.sources.net.sockets import Network

METADATA = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.16689662",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[::169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fd00:ec2::254]",
    "[fd00:0ec2:0::0254]",
    "[fe80::1]",
    "[fe80::5efe:a9fe:a9fe]",
    "[2600::5efe:a9fe:a9fe]",
    "100.100.100.200",
    "1684301000",
    "192.0.0.192",
    "168.63.129.16",
]
NOWHERE = [
    "0.0.0.0",
    "0",
    "[::]",
    "[::ffff:0.0.0.0]",
    "224.0.0.1",
    "[ff02::1]",
    "255.255.255.255",
    "240.0.0.1",
    "[64:ff9b:1::a00:1]",
    "[2001:0:1::1]",
    "[fec0::1]",
]
EVERYTHING = ("0.0.0.0/0", "::/0")


@pytest.fixture
def server() -> Iterator[int]:
    """The port of a server on 127.0.0.1 that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in taken:
            one.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Addresses of names, as if a name server said so. An address is still what it is."""
    table: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        if host not in table:
            return real(host, port, *args, **more)
        return [row for address in table[host] for row in real(address, port, *args, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return table


def refusal(network: Network, url: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        network.require(url)
    return caught.value


@pytest.mark.parametrize("host", METADATA + NOWHERE)
def test_a_forbidden_address_is_refused_in_every_spelling_even_when_every_network_is_listed(host: str) -> None:
    network = Network(EVERYTHING)
    assert "is not connected to" in refusal(network, f"http://{host}/latest/meta-data").message
    with pytest.raises(SourceError, match="is not connected to"):
        network.connect(host.strip("[]"), 80, 0.2)


@pytest.mark.parametrize("host", [host.strip("[]") for host in METADATA + NOWHERE])
def test_a_forbidden_address_that_is_listed_itself_stays_forbidden(host: str) -> None:
    with pytest.raises(SourceError, match="is not connected to"):
        Network([f"[{host}]" if ":" in host else host]).connect(host, 80, 0.2)


@pytest.mark.parametrize("host", METADATA + NOWHERE)
@pytest.mark.parametrize("entry", ["models.example", "*.example", "0.0.0.0/0", "::/0"])
def test_a_name_of_a_forbidden_address_is_refused_however_it_is_listed(
    host: str,
    entry: str,
    names: dict[str, list[str]],
) -> None:
    names["models.example"] = [str(literal(host.strip("[]")))]
    with pytest.raises(SourceError, match=r"is not connected to|is not a server") as caught:
        Network([entry]).connect("models.example", 80, 0.2)
    assert caught.value.permanent


def test_a_host_that_is_not_listed_is_refused_with_what_to_add() -> None:
    error = refusal(Network(["huggingface.co", "*.hf.co"]), "https://models.example.com/x")
    assert error.message == "models.example.com:443 is not a server that datasets may be read from."
    assert error.hint == ("An administrator can add models.example.com or models.example.com:443 to DATASET_ENDPOINTS.")


@pytest.mark.parametrize(
    ("entry", "url", "good"),
    [
        ("models.example", "http://models.example/", True),
        ("models.example", "http://MODELS.example.:81/", True),
        ("models.example", "http://a.models.example/", False),
        ("models.example", "http://models.example.evil.org/", False),
        ("models.example:81", "http://models.example:81/", True),
        ("models.example:81", "http://models.example/", False),
        ("*.example", "http://models.example/", True),
        ("*.example", "http://a.b.example/", True),
        ("*.example", "http://example/", False),
        ("*.example", "http://.example/", False),
        ("*.example", "http://badexample/", False),
        ("*.example:81", "http://models.example:80/", False),
        ("10.1.0.0/16", "http://10.1.2.3/", True),
        ("10.1.0.0/16", "http://10.2.0.1/", False),
        ("10.1.0.0/16", "http://167838211/", True),  # the same address as a number
        ("10.1.0.0/16", "http://[::ffff:10.1.2.3]/", True),
        ("10.1.0.0/16:9000", "http://10.1.2.3:9000/", True),
        ("10.1.0.0/16:9000", "http://10.1.2.3/", False),
        ("10.1.2.3", "http://10.1.2.3:5/", True),
        ("10.1.2.3:9000", "http://10.1.2.3:5/", False),
        ("[fd01::1]:9000", "http://[fd01::1]:9000/", True),
        ("fd01::/16", "http://[fd01::1]:9000/", True),
        ("127.0.0.1", "http://127.1/", True),
        ("127.0.0.1", "http://127.0.0.2/", False),
    ],
)
def test_an_entry_allows_what_it_says_and_no_more(entry: str, url: str, good: bool) -> None:
    if good:
        Network([entry]).require(url)
    else:
        refusal(Network([entry]), url)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "*.",
        "a b",
        "http://x",
        "x/y",
        "host:0",
        "host:99999",
        "10.1.0.0/40",
        "10.1.2.3/16",
        "a.*.b",
        "[::1",
        "ü.example",
    ],
)
def test_an_entry_that_is_none_is_named(entry: str) -> None:
    with pytest.raises(SourceError, match="DATASET_ENDPOINTS has the entry"):
        Network([entry])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://models.example/x",
        "file:///etc/passwd",
        "gopher://models.example/",
        "models.example/x",
        "//models.example/x",
        "",
        "http://",
        "http:///x",
        "http://me:secret@models.example/",
        "http://me@models.example/",
        "http://models.example@evil.org/",
        "http://evil.org\\@models.example/",
        "http://models.example\t/",
        "http://models.example/\r\nHost: x",
        "http://a b/",
        "http://models.example:99999/",
        "http://models.example:0/",
        "http://models.example:x/",
        "http://[::1/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://[fe80::1%25lo]/",
        "http://mod%65ls.example/",
        "http://models.example/" + "x" * 9000,
    ],
)
def test_what_is_no_address_of_a_web_server_is_refused(url: str) -> None:
    error = refusal(Network(["models.example", "evil.org", *EVERYTHING]), url)
    assert "secret" not in str(error)


def test_a_host_named_exactly_may_be_in_a_private_network(server: int, names: dict[str, list[str]]) -> None:
    names["models.example"] = ["127.0.0.1"]
    Network([f"models.example:{server}"]).connect("models.example", server, 1).close()


def test_a_name_that_only_a_domain_covers_may_not(server: int, names: dict[str, list[str]]) -> None:
    names["models.example"] = ["127.0.0.1"]
    with pytest.raises(SourceError, match="private network") as caught:
        Network(["*.example"]).connect("models.example", server, 1)
    assert f"models.example:{server}" in caught.value.hint


def test_unless_a_network_that_holds_its_address_is_listed(server: int, names: dict[str, list[str]]) -> None:
    names["models.example"] = ["127.0.0.1"]
    Network(["*.example", f"127.0.0.0/8:{server}"]).connect("models.example", server, 1).close()
    Network([f"127.0.0.0/8:{server}"]).connect("models.example", server, 1).close()
    with pytest.raises(SourceError, match="is not a server"):
        Network(["10.0.0.0/8"]).connect("models.example", server, 1)


def test_of_several_addresses_only_those_that_may_be_used_are_tried(
    server: int,
    names: dict[str, list[str]],
) -> None:
    names["models.example"] = ["169.254.169.254", "::ffff:169.254.169.254", "127.0.0.1"]
    with Network(["models.example"]).connect("models.example", server, 1) as opened:
        assert opened.getpeername() == ("127.0.0.1", server)


def test_a_name_is_resolved_once_so_that_no_second_answer_is_connected_to(
    server: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: the answers of a name server change between the look and the connection."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    real = socket.getaddrinfo
    hosts = []

    def getaddrinfo(host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        hosts.append(host)
        return [row for address in next(answers) for row in real(address, port, *args, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with Network(["models.example"]).connect("models.example", server, 1) as opened:
        assert opened.getpeername() == ("127.0.0.1", server)
    assert hosts == ["models.example"]
    with pytest.raises(SourceError, match="is not connected to"):  # and the next connection looks again
        Network(["models.example"]).connect("models.example", server, 1)


def test_a_server_that_is_down_may_be_up_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SourceError, match=f"127.0.0.1:{port}: connection refused") as caught:
        Network(["127.0.0.1"]).connect("127.0.0.1", port, 1)
    assert not caught.value.permanent


def test_a_name_that_does_not_exist_is_said_so() -> None:
    with pytest.raises(SourceError, match=r"There is no address for the name nowhere\.invalid"):
        Network(["*.invalid"]).connect("nowhere.invalid", 80, 1)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("8.8.8.8", True),
        ("::ffff:8.8.8.8", True),
        ("2606:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("2002:808:808::", True),
        ("10.0.0.1", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("100.64.0.1", False),
        ("192.168.1.1", False),
        ("fd01::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("198.18.0.1", False),
    ],
)
def test_public_is_what_the_internet_reaches_also_inside_of_a_wrapping(text: str, public: bool) -> None:
    address = literal(text)
    assert address is not None
    assert (is_public(address), never(address)) == (public, "")


@pytest.mark.parametrize("text", ["models.example", "", "1.2.3.4.5", "0x", "256.1.1.1", "1.2.3.4 x", "face", "08.1"])
def test_a_name_is_not_taken_for_an_address(text: str) -> None:
    assert literal(text) is None
