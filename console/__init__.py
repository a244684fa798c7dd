"""The Django project: settings, errors, teams, page and API glue, and the commands that run the stack."""

from console.celery import app as celery_app

__all__ = ["celery_app"]
