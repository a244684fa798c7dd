"""Pages of the services app."""

from __future__ import annotations

from django.urls import path

from services.api import metrics
from services.views import access, create, dashboard, history, keys, logs, places, services, standing, team, usage
from services.views.panel import tensors as panel
from services.views.panel import text as panel_text

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("services/", services.listing, name="services"),
    path("services/new/", create.new, name="service-new"),
    path("services/new/name/", create.check_name, name="service-check-name"),
    path("services/new/browse/", create.browse, name="service-browse"),
    path("services/new/model/", create.model, name="service-model"),
    path("services/new/placement/", create.placement, name="service-placement"),
    path("services/<str:name>/", services.overview, name="service"),
    path("services/<str:name>/test/", panel.test, name="service-test"),
    path("services/<str:name>/test/send/", panel.send, name="service-test-send"),
    path("services/<str:name>/test/stream/", panel_text.stream, name="service-test-stream"),
    path("services/<str:name>/access/", access.access, name="service-access"),
    path("services/<str:name>/logs/", logs.logs, name="service-logs"),
    path("services/<str:name>/events/", history.events, name="service-events"),
    path("services/<str:name>/revisions/", history.revisions, name="service-revisions"),
    path("services/<str:name>/edit/", create.edit, name="service-edit"),
    path("services/<str:name>/do/<str:verb>/", services.act, name="service-act"),
    path("protoset/", panel.protoset, name="protoset"),
    path("queues/", places.queues, name="queues"),
    path("queues/<str:name>/", places.queue, name="queue"),
    path("nodes/", places.nodes, name="nodes"),
    path("nodes/<str:name>/", places.node, name="node"),
    path("usage/", usage.usage, name="usage"),
    path("usage/chart/", usage.chart, name="usage-chart"),
    path("usage/export/", usage.export, name="usage-export"),
    path("healthz", standing.health, name="health"),
    path("problems/", standing.problems, name="problems"),
    path("metrics", metrics.metrics, name="metrics"),
    path("keys/", keys.listing, name="keys"),
    path("keys/gateway/", keys.waiting, name="keys-waiting"),
    path("keys/<int:pk>/<str:verb>/", keys.act, name="key-act"),
    path("teams/", team.listing, name="teams"),
    path("teams/<str:name>/", team.detail, name="team"),
]
