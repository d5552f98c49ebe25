from django.urls import path

from . import views

urlpatterns = [
    path("", views.index),
    path("whoami", views.whoami),
    path("form", views.form),
    path("book", views.book),
    path("oops", views.oops),
]
