"""Addresses of the datasets in the REST API."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from datasets import api, store_api

router = SimpleRouter()
router.register("datasets", api.Datasets, basename="api-dataset")
router.register("store", store_api.StoreView, basename="api-store")

urlpatterns = [*router.urls, path("store/", store_api.StoreView.as_view({"get": "show"}), name="api-store")]
