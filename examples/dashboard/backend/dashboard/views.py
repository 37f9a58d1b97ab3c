"""The page, and the check that a load balancer or monitor asks for."""

import asyncio

from channels.layers import get_channel_layer
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

PROBE_SECONDS = 2


@require_safe
async def index(request: HttpRequest) -> HttpResponse:
    """Show the dashboard. It holds no data: the page gets that over its WebSocket."""
    return render(request, "dashboard/index.html")


@never_cache
@require_safe
async def health(request: HttpRequest) -> JsonResponse:
    """Say whether this process can serve: 200, or 503 if it cannot send through the channel layer."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            # Nobody is in this group, so that no message is left behind.
            await get_channel_layer().group_send("health", {"type": "health"})
    except Exception as error:  # whatever it is, the probe must answer
        return JsonResponse({"status": "error", "channel_layer": type(error).__name__}, status=503)
    return JsonResponse({"status": "ok", "channel_layer": "ok"})
