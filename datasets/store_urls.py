"""Pages of the store."""

from __future__ import annotations

from django.urls import path

from datasets import store_views

urlpatterns = [
    path("", store_views.store, name="store"),
    path("<str:digest>/evict/", store_views.evict, name="store-evict"),
    path("<str:digest>/verify/", store_views.verify, name="store-verify"),
]
