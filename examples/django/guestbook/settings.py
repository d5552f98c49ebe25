"""With the development server these are the settings of `django-admin startproject`, obstacles included."""

import os
import sys
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

# Django's pages with the inside of the program are for its own development server only.
DEBUG = "runserver" in sys.argv
ALLOWED_HOSTS = [] if DEBUG else os.environ.get("ALLOWED_HOSTS", ".localhost").split(",")
SECRET_KEY = os.environ.get("SECRET_KEY", "for this example only")

# doorstep says by which scheme a request came, and lets no visitor say it.
SECURE_PROXY_SSL_HEADER = None if DEBUG else ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = ["django.contrib.staticfiles", "guestbook"]
MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
ROOT_URLCONF = "guestbook.urls"
WSGI_APPLICATION = "guestbook.wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
