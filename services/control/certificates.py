"""The gateway's certificate, as the settings name it: looked at again and again, because such files are replaced."""

from __future__ import annotations

import logging

from django.conf import settings

from services.errors import GatewayError
from services.gateway.envoy import tls
from services.gateway.envoy.tls import Tls

logger = logging.getLogger(__name__)
_last_problem: list[str] = []


def configured() -> Tls | None:
    """Raises GatewayError when only a part is set."""
    return tls.from_settings(settings.GATEWAY_TLS_CERTIFICATE, settings.GATEWAY_TLS_KEY, settings.GATEWAY_TLS_CLIENT_CA)


def refresh() -> bool:
    """Whether the gateway was given another certificate. Files that cannot be used are told once and change nothing."""
    try:
        config = configured()
        changed = config is not None and tls.refresh(config, settings.HOME.gateway)
    except (GatewayError, OSError) as error:
        if _last_problem != [str(error)]:
            logger.error("the gateway keeps its last good certificate: %s", error)
            _last_problem[:] = [str(error)]
        return False
    _last_problem.clear()
    if changed:
        logger.info("the gateway has a new certificate")
    return changed
