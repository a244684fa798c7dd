"""Signing in, with a limit on wrong passwords: per name and address, so that nobody can lock somebody else out."""

from __future__ import annotations

from typing import Final

from django import forms
from django.contrib.auth import views
from django.contrib.auth.forms import AuthenticationForm

from console import rates

MOST_FAILURES: Final = 10
WINDOW_SECONDS: Final = 300


class LoginForm(AuthenticationForm):
    """Asks for nothing more, and does not even look at the password once there were too many wrong ones."""

    def clean(self) -> dict[str, object]:
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        key = rates.key_of("login", address, str(self.cleaned_data.get("username", "")))
        # Counted before it is looked at: of many that come at once none is looked at beyond the limit.
        if rates.add(key, WINDOW_SECONDS) > MOST_FAILURES:
            minutes = WINDOW_SECONDS // 60
            raise forms.ValidationError(f"Too many wrong passwords. Wait {minutes} minutes, then try again.")
        cleaned: dict[str, object] = super().clean()
        rates.take_back(key)
        return cleaned


class Login(views.LoginView):
    template_name = "login.html"
    redirect_authenticated_user = True
    authentication_form = LoginForm
