"""`python manage.py rotate_secrets`: everything that is encrypted is encrypted anew with the first key of the list."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand, CommandError

from datasets import credentials
from datasets.errors import CredentialsLocked


class Command(BaseCommand):
    help = "Encrypt the credentials of every dataset with the first key of CONSOLE_SECRETS_KEY."

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            changed, shut = credentials.rotate()
        except CredentialsLocked as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{changed} dataset{'' if changed == 1 else 's'} encrypted with the first key.")
        if shut:
            raise CommandError(
                f"None of the keys opens the credentials of: {', '.join(shut)}. Keep the old key in the list, or enter "
                "their credentials again."
            )
