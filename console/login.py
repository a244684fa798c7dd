"""Signing in, with a limit on wrong passwords: per name and address, so that nobody can lock somebody else out."""

from __future__ import annotations

import hashlib
from typing import Final

from django import forms
from django.contrib.auth import views
from django.contrib.auth.forms import AuthenticationForm
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse

MOST_FAILURES: Final = 10
WINDOW_SECONDS: Final = 300


class LoginForm(AuthenticationForm):
    """Asks for nothing more, and does not even look at the password once there were too many wrong ones."""

    def clean(self) -> dict[str, object]:
        if cache.get(counter(self.request, self.cleaned_data.get("username", "")), 0) >= MOST_FAILURES:
            minutes = WINDOW_SECONDS // 60
            raise forms.ValidationError(f"Too many wrong passwords. Wait {minutes} minutes, then try again.")
        cleaned: dict[str, object] = super().clean()
        return cleaned


class Login(views.LoginView):
    template_name = "login.html"
    redirect_authenticated_user = True
    authentication_form = LoginForm

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        key = counter(self.request, form.data.get("username", ""))
        cache.add(key, 0, WINDOW_SECONDS)
        cache.incr(key)
        return super().form_invalid(form)


def counter(request: HttpRequest | None, username: object) -> str:
    """The cache key; a digest, since people type passwords into the field for the name."""
    address = request.META.get("REMOTE_ADDR", "") if request else ""
    return "login:" + hashlib.sha256(f"{address}\0{username}".encode()).hexdigest()
