"""Whatever JSON is sent, the answer is a problem or a thing that was made, never a broken server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.api.serializers.keys import KeyBody
from services.api.serializers.places import QueueBody
from services.api.serializers.services import ServiceBody
from tests.rest import Api

WORDS = st.sampled_from(["echo", "models", "triton", "default", "vision", "In", "NVIDIA-H200", "api_key", "infer", ""])
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | WORDS
)
KEYS = WORDS | st.sampled_from(["cpu", "gpu", "policy", "required", "preferred", "key", "operator", "values", "weight"])
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
FIELDS = sorted({*ServiceBody().fields, *KeyBody().fields, *QueueBody().fields, "options", "kind", "path", "revision"})
BODIES = st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=6)


@pytest.mark.slow
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(changes=BODIES)
def test_no_body_breaks_the_server(owner: Api, payload: dict[str, Any], changes: dict[str, Any]) -> None:
    valid_changes = {name: value for name, value in changes.items() if name in ServiceBody().fields}
    for path, body in {
        "services/": {**payload, **valid_changes},
        "keys/": {"name": "x", **changes},
        "datasets/": {"kind": "local", **changes},
        "datasets/models/preheat/": changes,
        "services/echo/rollback/": changes,
    }.items():
        assert owner.post(path, body).status in {201, 202, 400, 404}, path
    assert owner.patch("services/echo/", valid_changes).status in {200, 400, 404}
