"""What people say of an export: taken, or refused at its field."""

from __future__ import annotations

import pytest

from datasets.errors import SourceError
from datasets.sources.nfs.options import Export, mount_options, parse_export, parse_source


@pytest.mark.parametrize(
    ("server", "path", "text"),
    [
        ("nas", "/srv/models", "nas:/srv/models"),
        (" nas.example.org ", "/srv//models/", "nas.example.org:/srv/models"),
        ("10.1.2.3", "/", "10.1.2.3:/"),
        ("fd00::1", "/x", "[fd00::1]:/x"),
        ("[fd00::1]", "/a b", "[fd00::1]:/a b"),
    ],
)
def test_an_export_is_written_as_mount_wants_it_and_the_kernel_shows_it(server: str, path: str, text: str) -> None:
    export = parse_export(server, path)
    assert str(export) == text and parse_source(text) == export


@pytest.mark.parametrize("server", ["", "-o", "nas:/x", "nas,evil", "na s", "nas/", "$(reboot)", "n\nas", "a" * 300])
def test_what_is_no_server_is_refused(server: str) -> None:
    with pytest.raises(SourceError, match="host name or an address") as caught:
        parse_export(server, "/x")
    assert caught.value.option == "server"


@pytest.mark.parametrize("path", ["", "srv", "/srv/../etc", "/a\nb", "/a\0b", "/./x"])
def test_what_is_no_export_is_refused(path: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_export("nas", path)
    assert caught.value.option == "export"


def test_an_export_beneath_another_is_found_there() -> None:
    srv, models = Export("nas", "/srv"), Export("NAS", "/srv/models")
    assert models.beneath(srv) == "models" and models.beneath(models) == "" and srv.beneath(Export("nas", "/")) == "srv"
    assert srv.beneath(models) is None and Export("nas", "/srv2").beneath(srv) is None
    assert models.beneath(Export("other", "/srv")) is None
    assert parse_source("/dev/vda1") is None and parse_source("none") is None


def test_an_export_is_always_mounted_read_only_and_without_rights() -> None:
    assert mount_options("") == ("ro", "nosuid", "nodev", "noexec", "soft")
    chosen = mount_options(" vers=4.1, nconnect=8,hard,timeo=600,ro ,vers=4.1")
    assert chosen == ("ro", "nosuid", "nodev", "noexec", "vers=4.1", "nconnect=8", "hard", "timeo=600")
    assert mount_options("vers=3")[-1] == "nolock"


@pytest.mark.parametrize(
    "text",
    [
        "rw",
        "suid",
        "exec",
        "dev",
        "remount",
        "bind",
        "port=22",
        "mountport=1",
        "addr=10.0.0.1",
        "clientaddr=1.1.1.1",
        "vers=5",
        "vers=",
        "nconnect=17",
        "nconnect=-1",
        "nconnect=0x8",
        "sec=krb5",
        "proto=udp",
        "context=x",
        "ro=1",
        "=",
        "user",
        "x-systemd.automount",
        "soft\nexec",
        "timeo=99999999999",
        "lookupcache=none",
    ],
)
def test_any_other_mount_option_is_refused(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        mount_options(f"vers=4.1,{text}")
    assert caught.value.option == "options" and caught.value.permanent
