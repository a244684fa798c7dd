from django.apps import AppConfig

from console.celery import app as celery_app  # makes it the current app, for tasks and for enqueueing

__all__ = ["ConsoleConfig", "celery_app"]


class ConsoleConfig(AppConfig):
    name = "console"
