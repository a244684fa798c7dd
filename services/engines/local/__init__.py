"""The local engine: replicas as processes of the stack's own supervisord, on unix sockets."""

from services.engines.local.engine import LocalEngine

__all__ = ["LocalEngine"]
