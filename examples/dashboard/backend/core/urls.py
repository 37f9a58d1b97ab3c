"""HTTP routes. The WebSocket's is in dashboard/routing.py."""

from django.urls import path

from dashboard import views

urlpatterns = [
    path("", views.index, name="index"),
    path("health/", views.health, name="health"),
]
