"""A page that says what answers, and one that stores what is posted."""

import os

import django
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


def about(request: HttpRequest) -> JsonResponse:
    """Report what the test wants to know."""
    return JsonResponse(
        {
            "asgi": hasattr(request, "scope"),
            "path": request.path,
            "django": django.get_version(),
            "settings": os.environ["DJANGO_SETTINGS_MODULE"],
            "debug": settings.DEBUG,
            "word": getattr(settings, "WORD", ""),
        }
    )


@csrf_exempt
def upload(request: HttpRequest, name: str) -> JsonResponse:
    """Store what is posted, as an ImageField would."""
    return JsonResponse({"url": default_storage.url(default_storage.save(name, ContentFile(request.body)))})


urlpatterns = [path("", about), path("upload/<name>", upload)]
