"""A service as people send it (form or REST API) -> ServiceSpec."""

from services.parsing.spec import LABEL, NAME, parse_name, parse_replicas, parse_spec, parse_strategy

__all__ = ["LABEL", "NAME", "parse_name", "parse_replicas", "parse_spec", "parse_strategy"]
