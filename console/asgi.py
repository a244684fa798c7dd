"""The ASGI application that the web process serves."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from console.stack.memory import collect_seldom
from console.web.body_limit import BodyLimit
from console.web.http10 import WholeAnswers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
collect_seldom()
application = BodyLimit(WholeAnswers(get_asgi_application()), settings.LARGEST_REQUEST)
