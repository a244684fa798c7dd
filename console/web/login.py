"""Signing in, with a limit on wrong passwords: per name and address, so that nobody can lock somebody else out.

Two libraries were looked at, and not used:

- django-axes 8.3 counts a failure after the password was hashed, so of many guesses at once each is looked at. It has
  one limit for all that it counts by. It keeps a row for each name, address and browser that was tried, with the name
  as it was typed, and adds the fields of each further try to that row.
- django-ratelimit 4.1 (2023) counts in a cache that all processes share, which would be Redis. Without Redis nobody
  could sign in, or nobody would be counted. It counts right passwords too.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final

from django import forms
from django.contrib.auth import views
from django.contrib.auth.forms import AuthenticationForm

from console.web import rates

MOST_FAILURES: Final = 10
"""Failures of one name from one address."""
MOST_OF_ADDRESS: Final = 100
"""Failures over all names. Beyond it nothing is written, so that nobody fills the table with names."""
WINDOW_SECONDS: Final = 300


class LoginForm(AuthenticationForm):
    """Asks for nothing more, and does not even look at the password once there were too many wrong ones."""

    def clean(self) -> dict[str, object]:
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        keys = [
            (rates.key_of("login-address", network(address)), MOST_OF_ADDRESS),
            (rates.key_of("login", address, str(self.cleaned_data.get("username", ""))), MOST_FAILURES),
        ]
        # Counted before it is looked at: of many that come at once none is looked at beyond the limit.
        for key, most in keys:
            if rates.number(key) >= most or rates.add(key, WINDOW_SECONDS) > most:
                minutes = WINDOW_SECONDS // 60
                raise forms.ValidationError(f"Too many wrong passwords. Wait {minutes} minutes, then try again.")
        cleaned: dict[str, object] = super().clean()
        for key, _ in keys:
            rates.take_back(key)
        return cleaned


def network(address: str) -> str:
    """The caller: an IPv4 address, or the /64 that an IPv6 host may choose its addresses from."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)


class Login(views.LoginView):
    template_name = "login.html"
    redirect_authenticated_user = True
    authentication_form = LoginForm
