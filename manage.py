#!/usr/bin/env python
"""Django's command line, with the settings of this project."""

import os
import sys

from django.core.management import execute_from_command_line

from console.errors import ConsoleError
from console.stack.memory import collect_seldom

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    collect_seldom()
    try:
        execute_from_command_line(sys.argv)
    except ConsoleError as error:  # a wrong setting, for one: a sentence says what to do, and a traceback does not
        sys.exit(f"error: {error}")
