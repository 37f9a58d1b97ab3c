"""The page and the health check."""

import asyncio
import re
from pathlib import Path

import pytest
from channels.layers import InMemoryChannelLayer
from channels.testing import HttpCommunicator
from django.core.management import call_command
from django.test import AsyncClient
from pytest_django import Settings
from redis.exceptions import ConnectionError

from core.asgi import application
from dashboard import views


async def health_at(host: str) -> int:
    """Return the status of the health check, asked for under the name ``host``."""
    request = HttpCommunicator(application, "GET", "/health/", headers=[(b"host", host.encode())])
    return (await request.get_response())["status"]


async def test_health(async_client: AsyncClient) -> None:
    response = await async_client.get("/health/")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "channel_layer": "ok"}


async def test_health_under_the_allowed_names() -> None:
    assert await health_at("dashboard.example.com:8000") == 200
    assert await health_at("evil.example.org") == 400


async def test_health_without_redis(async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*args: object) -> None:
        raise ConnectionError("Error 111 connecting to 127.0.0.1:6379.")

    monkeypatch.setattr(InMemoryChannelLayer, "group_send", away)
    response = await async_client.get("/health/")
    assert response.status_code == 503
    assert response.json() == {"status": "error", "channel_layer": "ConnectionError"}


async def test_health_does_not_wait_for_redis(async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*args: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(InMemoryChannelLayer, "group_send", hang)
    monkeypatch.setattr(views, "PROBE_SECONDS", 0.05)
    async with asyncio.timeout(1):
        response = await async_client.get("/health/")
    assert response.status_code == 503
    assert response.json()["channel_layer"] == "TimeoutError"


async def test_page_names_hashed_files(async_client: AsyncClient, settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    call_command("collectstatic", interactive=False, verbosity=0)
    response = await async_client.get("/")
    assert response.status_code == 200
    assert response.headers["Referrer-Policy"] == "no-referrer"
    page = response.content.decode()
    files = re.findall(r'(?:src|href)="/static/([^"]+)"', page)
    assert {Path(name).suffix for name in files} == {".css", ".js", ".svg"}
    script = next(tmp_path / name for name in files if name.endswith(".js"))
    imported = re.findall(r'from "(.+?)"', script.read_text())
    assert len(imported) == 3
    for file in [tmp_path / name for name in files] + [script.parent / name for name in imported]:
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", file.name), file
        assert file.is_file()


async def test_page_holds_nothing_inline(async_client: AsyncClient, settings: Settings) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    page = (await async_client.get("/")).content.decode()
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?://", page)
