"""Pages of the datasets app."""

from __future__ import annotations

from django.urls import path

from datasets import round_views, verbs, views, views_files

urlpatterns = [
    path("", views.listing, name="datasets"),
    path("<str:name>/", views.detail, name="dataset"),
    path("<str:name>/edit/", views.edit, name="dataset-edit"),
    path("<str:name>/check/", views.check, name="dataset-check"),
    path("<str:name>/delete/", views.delete, name="dataset-delete"),
    path("<str:name>/files/", views_files.said, name="dataset-files"),
    path("<str:name>/trust/", views_files.trust, name="dataset-trust"),
    path("<str:name>/preheat/", views.preheat, name="dataset-preheat"),
    path("<str:name>/rounds/", views.rounds, name="dataset-rounds"),
    path("<str:name>/rounds/<int:pk>/", round_views.detail, name="round"),
    *(
        path(f"<str:name>/rounds/<int:pk>/{verb}/", round_views.act, {"verb": verb}, name=f"round-{verb}")
        for verb in verbs.ALL
    ),
]
