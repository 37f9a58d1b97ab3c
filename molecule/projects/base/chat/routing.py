"""Paths of sockets."""

from django.urls import path

from chat.consumers import Chat

websocket_urlpatterns = [path("ws/chat/", Chat.as_asgi())]
