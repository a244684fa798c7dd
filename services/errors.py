"""Errors of the services app. No Django."""

from __future__ import annotations

from console.errors import ConsoleError


class EngineError(ConsoleError):
    """An engine could not do what was asked. `permanent`: trying again will not help."""

    code = "engine"
    status = 503

    def __init__(self, message: str, *, permanent: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.permanent = permanent


class ModelError(ConsoleError):
    """The model files cannot be served as they are: a file is missing, config.pbtxt is broken, ..."""

    code = "model"


class GatewayError(ConsoleError):
    """A gateway configuration could not be rendered, was refused by Envoy, or could not be published."""

    code = "gateway"
    status = 500


class GatewayRefused(GatewayError):
    """Envoy, or what renders for it, does not take what the configuration says."""


class GatewaySilent(GatewayError):
    """The gateway runs, but did not answer in time."""


def not_ready(service: str) -> str:
    """What callers get with a 503, from the gateway and from the bridge. The console shows the reason."""
    return f"The service {service} is not ready."


class ProbeError(ConsoleError):
    """A test request could not be sent at all (the input does not fit the model, the gateway is away)."""

    code = "probe"
