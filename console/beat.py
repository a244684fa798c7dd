"""The Celery application of beat, which sends the names of tasks when the settings' schedule says so.

It loads neither models nor tasks: that takes seconds of a core at each start, and beat needs none of them.
"""

from logging.config import dictConfig

from celery import Celery

from console import settings

dictConfig(settings.LOGGING)
app = Celery("console", fixups=[])
app.config_from_object(settings, namespace="CELERY")
