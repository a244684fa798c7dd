"""The Celery application. Tasks live in `<app>/tasks.py`; each loads by primary key and calls one action."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready

from console.stack.memory import collect_seldom, keep_what_is_loaded
from datasets.sources import registry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
collect_seldom()
app = Celery("console")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def settle(sender: Any, **_: Any) -> None:
    if "preheat" in sender.app.amqp.queues.consume_from:
        registry.kinds()  # else loaded, with their libraries, by the first round that needs one
    keep_what_is_loaded()
