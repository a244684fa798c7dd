"""Which files make a certificate that Envoy is given, and how the listener uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.errors import GatewayError
from services.gateway.envoy.bootstrap import bootstrap
from services.gateway.envoy.tls import CLIENTS, SERVER, Tls, from_settings, refresh
from tests.services.gateway import pki


def listener(directory: Path, tls: Tls | None) -> dict[str, object]:
    static = json.loads(bootstrap(directory, host="127.0.0.1", port=8080, tls=tls))["static_resources"]
    first_listener: dict[str, object] = static["listeners"][0]
    return first_listener


def test_without_settings_there_is_no_tls(tmp_path: Path) -> None:
    assert from_settings("", "", "") is None
    assert "listener_filters" not in listener(tmp_path, None)


@pytest.mark.parametrize("given", [("a", "", ""), ("", "b", ""), ("", "", "c"), ("a", "", "c")])
def test_a_part_of_the_settings_is_a_mistake(given: tuple[str, str, str]) -> None:
    with pytest.raises(GatewayError, match="both be set"):
        from_settings(*given)


def test_plain_http_is_only_for_callers_on_this_machine(tmp_path: Path) -> None:
    chains = listener(tmp_path, Tls(Path("c"), Path("k")))["filter_chains"]
    assert isinstance(chains, list)
    assert [chain["filter_chain_match"] for chain in chains] == [
        {"transport_protocol": "raw_buffer", "source_type": "SAME_IP_OR_LOOPBACK"},
        {"transport_protocol": "tls"},
    ]


def test_a_certificate_is_handed_on_once_and_for_nobody_else_to_read(tmp_path: Path) -> None:
    authority = pki.authority(tmp_path / "pki")
    pair = pki.issue(authority, tmp_path / "pki", "server")
    tls = Tls(pair.certificate, pair.key, authority.certificate)
    assert refresh(tls, tmp_path) is True
    assert refresh(tls, tmp_path) is False
    for name in (SERVER, CLIENTS):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    assert (
        pair.key.read_text()
        in json.loads((tmp_path / SERVER).read_bytes())["resources"][0]["tls_certificate"]["private_key"][
            "inline_string"
        ]
    )


def test_files_that_do_not_belong_together_change_nothing(tmp_path: Path) -> None:
    authority = pki.authority(tmp_path / "pki")
    one, other = (pki.issue(authority, tmp_path / "pki", name) for name in ("one", "other"))
    refresh(Tls(one.certificate, one.key), tmp_path)
    before = (tmp_path / SERVER).read_bytes()
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    for tls, reason in (
        (Tls(one.certificate, other.key), "KEY_VALUES_MISMATCH"),
        (Tls(nothing, one.key), "cannot be used together"),
        (Tls(one.certificate, tmp_path / "absent"), "GATEWAY_TLS_KEY names .*absent, which cannot be read"),
        (Tls(other.certificate, other.key, nothing), "GATEWAY_TLS_CLIENT_CA names .*nothing.pem, which holds no"),
    ):
        with pytest.raises(GatewayError, match=reason):
            refresh(tls, tmp_path)
    assert (tmp_path / SERVER).read_bytes() == before


def test_a_key_with_a_password_is_refused_instead_of_asking_for_it(tmp_path: Path) -> None:
    authority = pki.authority(tmp_path / "pki")
    locked = tmp_path / "locked.key"
    pki.lock(authority.key, locked)
    with pytest.raises(GatewayError, match="cannot be used together"):
        refresh(Tls(authority.certificate, locked), tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_pem_files_written_on_windows_are_handed_on_as_plain_ones(tmp_path: Path, encoding: str) -> None:
    authority = pki.authority(tmp_path / "pki")
    one = pki.issue(authority, tmp_path / "pki", "one")
    for path in (one.certificate, one.key, authority.certificate):
        path.write_bytes(path.read_text().replace("\n", "\r\n").encode(encoding))
    assert refresh(Tls(one.certificate, one.key, authority.certificate), tmp_path)
    assert "-----BEGIN CERTIFICATE-----" in (tmp_path / SERVER).read_text()
    assert "\\ufeff" not in (tmp_path / SERVER).read_text()
