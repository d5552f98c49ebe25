from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from .models import Entry


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


@require_http_methods(["GET", "HEAD", "POST"])
def book(request):
    """The guestbook itself: what is written stays in the database."""
    if request.method == "POST":
        if text := request.POST.get("text", "").strip()[:200]:
            Entry.objects.create(text=text)
        return redirect("/book")
    return render(request, "guestbook/book.html", {"entries": Entry.objects.all()[:50]})


def oops(request):
    """What visitors see when the app has a bug."""
    raise RuntimeError("oops")
