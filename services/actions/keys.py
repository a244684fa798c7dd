"""API keys: make, check, rotate, revoke."""

from console.principal import Principal


def authenticate(key: str) -> Principal | None:
    return None
