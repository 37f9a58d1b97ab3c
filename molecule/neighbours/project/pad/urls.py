"""Pages that say who answers, and how the request arrived."""

import os
from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import HttpRequest, JsonResponse
from django.templatetags.static import static
from django.urls import path, reverse
from django.views.decorators.csrf import csrf_exempt


def about(request: HttpRequest) -> JsonResponse:
    """Report what a project can know about a request and its own process."""
    return JsonResponse(
        {
            "server": Path(os.environ.get("_") or "?").name,
            "asgi": hasattr(request, "scope"),
            "path": request.path,
            "script": request.META.get("SCRIPT_NAME", ""),
            "secure": request.is_secure(),
            "address": request.META.get("REMOTE_ADDR", ""),
            "forwarded": request.META.get("HTTP_X_FORWARDED_FOR", ""),
            "reverse": reverse("about"),
            "here": request.build_absolute_uri(),
            "style": static("pad/style.css"),
            "pid": os.getpid(),
        }
    )


@csrf_exempt
def upload(request: HttpRequest, name: str) -> JsonResponse:
    """Store what is posted, as an ImageField would."""
    return JsonResponse({"url": default_storage.url(default_storage.save(name, ContentFile(request.body)))})


urlpatterns = [
    path("", about, name="about"),
    path("talk/", about),
    path("upload/<path:name>", upload),
]
