"""Pages of datasets, and of the store."""

from __future__ import annotations

from django.urls import include, path

from datasets.actions import verbs
from datasets.views import datasets, files, rounds, store

DATASETS = [
    path("", datasets.listing, name="datasets"),
    path("<str:name>/", datasets.detail, name="dataset"),
    path("<str:name>/edit/", datasets.edit, name="dataset-edit"),
    path("<str:name>/check/", datasets.check, name="dataset-check"),
    path("<str:name>/delete/", datasets.delete, name="dataset-delete"),
    path("<str:name>/files/", files.card, name="dataset-files"),
    path("<str:name>/trust/", files.trust, name="dataset-trust"),
    path("<str:name>/preheat/", datasets.preheat, name="dataset-preheat"),
    path("<str:name>/rounds/", datasets.rounds, name="dataset-rounds"),
    path("<str:name>/rounds/<int:pk>/", rounds.detail, name="round"),
    *(
        path(f"<str:name>/rounds/<int:pk>/{verb}/", rounds.act, {"verb": verb}, name=f"round-{verb}")
        for verb in verbs.ALL
    ),
]
STORE = [
    path("", store.store, name="store"),
    path("<str:digest>/evict/", store.evict, name="store-evict"),
    path("<str:digest>/verify/", store.verify, name="store-verify"),
]

urlpatterns = [path("datasets/", include(DATASETS)), path("store/", include(STORE))]
