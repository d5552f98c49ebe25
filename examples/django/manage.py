"""A Django project in one file: `python examples/django/manage.py runserver`, then `doorstep share 8000`.

It has the settings of `django-admin startproject`, so it meets the obstacles that every new project meets.
"""

import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.urls import path

settings.configure(
    DEBUG=True,
    ALLOWED_HOSTS=[],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for this example only",
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
)


def index(request):
    return HttpResponse(f"<h1>Django is at home</h1><p>You asked for {request.get_host()}.</p>")


def whoami(request):
    """What the app learns about its visitor."""
    forwarded = {name: value for name, value in request.headers.items() if "Forwarded" in name}
    return JsonResponse({"host": request.get_host(), "scheme": request.scheme, "forwarded": forwarded})


def form(request):
    """A form that is protected against requests from other sites."""
    if request.method == "POST":
        return HttpResponse(f"<p>Thank you, {len(request.POST.get('text', ''))} characters came in.</p>")
    token = get_token(request)
    return HttpResponse(
        f"<form method=post><input type=hidden name=csrfmiddlewaretoken value={token}>"
        "<input name=text autofocus><button>Send</button></form>"
    )


def oops(request):
    """What visitors see when the app has a bug."""
    raise RuntimeError("oops")


urlpatterns = [path("", index), path("whoami", whoami), path("form", form), path("oops", oops)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
