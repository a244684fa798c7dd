"""The Django project: settings, errors, teams, page and API glue, and the commands that run the stack."""
