"""Addresses of the datasets in the REST API."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from datasets.api import datasets, store

router = SimpleRouter()
router.register("datasets", datasets.Datasets, basename="api-dataset")
router.register("store", store.StoreView, basename="api-store")

urlpatterns = [*router.urls, path("store/", store.StoreView.as_view({"get": "show"}), name="api-store")]
