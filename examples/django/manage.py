"""A guestbook: `python examples/django/manage.py runserver`, then `doorstep share 8000`; or `doorstep up` in this folder."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "guestbook.settings")
    execute_from_command_line(sys.argv)
