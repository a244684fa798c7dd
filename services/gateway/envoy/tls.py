"""TLS at the listener: the two chains of filters, and the certificate as Envoy's own discovered secret.

With a certificate the port speaks TLS to everybody, and plain HTTP beside it to callers on this machine only: the
test panel and the probes. Anything else that is plain is closed. The files that a person names are read here, checked
as a whole, and handed to Envoy in files of the gateway's own folder, so that half a replacement never counts and the
last good certificate outlives a restart.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from console.files import replace
from console.formats.text import decode
from services.errors import GatewayError
from services.gateway.envoy.document import discovery
from services.gateway.envoy.names import Json, typed

SERVER: Final = "tls-server.json"
CLIENTS: Final = "tls-clients.json"
"""Files in the gateway directory; each holds one secret."""


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files. With `client_ca`, a caller must show a certificate that it has signed."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def from_settings(certificate: str, key: str, client_ca: str) -> Tls | None:
    """None when nothing is set. Raises GatewayError when only a part is."""
    if not (certificate or key or client_ca):
        return None
    if not (certificate and key):
        raise GatewayError("GATEWAY_TLS_CERT and GATEWAY_TLS_KEY must both be set, or neither.")
    return Tls(Path(certificate), Path(key), Path(client_ca) if client_ca else None)


def refresh(tls: Tls, gateway_dir: Path) -> bool:
    """Hand Envoy what the files hold now. False when it has that already.

    Raises GatewayError, and leaves what Envoy has as it is, when they cannot be used.
    """
    chain, key = _read("GATEWAY_TLS_CERT", tls.certificate), _read("GATEWAY_TLS_KEY", tls.key)
    authority = _read("GATEWAY_TLS_CLIENT_CA", tls.client_ca) if tls.client_ca else ""
    secrets = {
        SERVER: _secret("server", tls_certificate={"certificate_chain": _text(chain), "private_key": _text(key)})
    }
    if authority:
        secrets[CLIENTS] = _secret("clients", validation_context={"trusted_ca": _text(authority)})
    changed = {name: content for name, content in secrets.items() if not _has(gateway_dir / name, content)}
    if changed:
        _check(tls, chain, key, authority)
    for name, content in changed.items():
        replace(gateway_dir / name, content)
    return bool(changed)


def filter_chains(chain: Json, tls: Tls | None, gateway_dir: Path, subscription: Callable[[Path, str], Json]) -> Json:
    """The listener's `filter_chains`, and with TLS its `listener_filters`."""
    if tls is None:
        return {"filter_chains": [chain]}
    plain = {"filter_chain_match": {"transport_protocol": "raw_buffer", "source_type": "SAME_IP_OR_LOOPBACK"}}
    context: Json = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificate_sds_secret_configs": [{"name": "server", "sds_config": subscription(gateway_dir, SERVER)}],
    }
    if tls.client_ca:
        context["validation_context_sds_secret_config"] = {
            "name": "clients",
            "sds_config": subscription(gateway_dir, CLIENTS),
        }
    kind = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    socket = typed(kind, common_tls_context=context, require_client_certificate=bool(tls.client_ca))
    encrypted = {
        "filter_chain_match": {"transport_protocol": "tls"},
        "transport_socket": {"name": "tls", "typed_config": socket},
        # Long enough for a slow line; who never finishes must not hold a connection.
        "transport_socket_connect_timeout": "10s",
    }
    inspector = typed("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector")
    return {
        "listener_filters": [{"name": "tls-inspector", "typed_config": inspector}],
        "listener_filters_timeout": "10s",
        "filter_chains": [{**plain, **chain, "name": "plain"}, {**encrypted, **chain, "name": "tls"}],
    }


def _secret(name: str, **content: Json) -> bytes:
    return discovery([typed("envoy.extensions.transport_sockets.tls.v3.Secret", name=name, **content)]).content


def _text(pem: str) -> Json:
    return {"inline_string": pem}


def _read(setting: str, path: Path) -> str:
    try:
        pem = decode(path.read_bytes())
        pem.encode("ascii")
    except OSError as error:
        raise GatewayError(f"{setting} names {path}, which cannot be read: {error.strerror}.") from error
    except UnicodeError:
        raise GatewayError(f"{setting} names {path}, which is not a PEM file.") from None
    return pem


def _check(tls: Tls, chain: str, key: str, authority: str) -> None:
    """That OpenSSL takes them, and the pair belongs together: of what was read, not of what the files hold by now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="gateway-tls-") as folder:
        copy = Path(folder) / "pair.pem"
        copy.touch(mode=0o600)
        copy.write_text(f"{key}\n{chain}", encoding="ascii")
        try:
            # A password, so that nobody is asked for one.
            context.load_cert_chain(copy, password=lambda: os.urandom(8).hex())
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", "") or str(error)
            raise GatewayError(
                f"The certificate {tls.certificate} and the key {tls.key} cannot be used together: {reason}.",
                hint="Both must be PEM, belong together, and the key must have no password.",
            ) from error
    if authority:
        try:
            context.load_verify_locations(cadata=authority)
        except (ssl.SSLError, ValueError) as error:
            raise GatewayError(f"GATEWAY_TLS_CLIENT_CA names {tls.client_ca}, which holds no certificate.") from error


def _has(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False
