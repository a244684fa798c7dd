"""Every address of the console."""

from __future__ import annotations

from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path, reverse_lazy
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from console.web.login import Login
from console.web.views import alive

handler500 = "console.web.views.server_error"

urlpatterns = [
    path("login/", Login.as_view(), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path(
        "password/",
        auth.PasswordChangeView.as_view(template_name="password.html", success_url=reverse_lazy("dashboard")),
        name="password",
    ),
    path("livez", alive, name="alive"),
    path("api/v1/schema/", login_not_required(SpectacularAPIView.as_view()), name="schema"),
    path("api/v1/docs/", login_not_required(SpectacularSwaggerSplitView.as_view(url_name="schema")), name="api-docs"),
    path("api/v1/", include("datasets.api.urls")),
    path("api/v1/", include("services.api.urls")),
    path("", include("datasets.urls")),
    path("", include("services.urls")),
]
