"""Tables of the services app. No logic: verbs are in services/actions, questions in services/querysets.py."""

from services.models.gateway import GatewayRevision
from services.models.keys import ApiKey
from services.models.places import Node, Queue
from services.models.services import Event, Replica, Revision, Service
from services.models.usage import LogPosition, Usage, UsageSeries

__all__ = [
    "ApiKey",
    "Event",
    "GatewayRevision",
    "LogPosition",
    "Node",
    "Queue",
    "Replica",
    "Revision",
    "Service",
    "Usage",
    "UsageSeries",
]
