"""The inventory's section on how the site is proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..text.document import Document, flow_quoted, foreign, plain, scalar
from .deployed import HEALTH
from .findings import Inspection

if TYPE_CHECKING:
    from .given import Given


def write_handshake(writer: Given, out: Document) -> None:
    """Write the socket's path, and how to make a token for it."""
    found, token = writer.found, writer.found.token
    out.gap()
    out.comment("How the site is proven: a socket's path, and how a token for it is made.")
    sockets = sorted((one for one in found.sockets if one.sample), key=lambda one: one.variable)
    if sockets:
        path = sockets[0].sample
        if sockets[0].variable:
            out.comment(f"A path that {sockets[0].pattern} matches; write one that your consumer accepts.")
        query = f"?{token.key}={{token}}" if token.key else ""
        out.set("handshake_path", scalar(path + query) if "{" not in query else plain(path + query))
    else:
        out.set("handshake_path", '"!!!SET such as /ws/chat/?token={token}!!!"')
    if writer.deployed.urls:
        out.set("handshake_health_path", f"/{HEALTH}")
    elif found.health:
        if found.health != "/":
            out.set("handshake_health_path", foreign(found.health))
    else:
        out.comment(
            "handshake_health_path names a page that answers below 400 to anybody; / was not seen among the project's."
        )
    out.comment("The machine is proven by its own address, as browsers reach it by its name.")
    out.set("handshake_url", "wss://{{ site_name }}")
    out.set("handshake_connect_to", '"{{ ansible_host }}:443"')
    out.set("handshake_origin", "https://{{ site_name }}")
    if writer.single_host:
        out.comment(f"{writer.single_host} holds one name, so handshakes on the host have to use it.")
        out.set("handshake_host", '"{{ site_name }}"')
    if found.sockets and not token.origin:
        out.comment("The project refuses no Origin (it has no OriginValidator), which lets other sites' pages in.")
        out.set("handshake_foreign_origin", '""')
    write_token(found, out)
    out.comment(
        "handshake_send is a message that your consumer answers, handshake_broadcast one that it passes on, "
        'each with {nonce} in it, such as {"message": "{nonce}"}. Without them it is only proven that sockets open and '
        "stay open."
    )


def write_token(found: Inspection, out: Document) -> None:
    """The command that prints a token."""
    token = found.token
    if token.command:
        out.set("handshake_token_command", flow_quoted(token.command))
        if token.expired:
            out.set("handshake_expired_token_command", flow_quoted(token.expired))
        return
    if token.simplejwt and token.key:
        out.comment("One of djangorestframework-simplejwt, for a user `proof` without a password, whom this makes:")
        out.raw(
            "# handshake_token_command:",
            "#   - python",
            "#   - manage.py",
            "#   - shell",
            "#   - --command",
            "#   - |",
            "#     from django.contrib.auth import get_user_model",
            "#     from rest_framework_simplejwt.tokens import AccessToken",
            "#     users = get_user_model()",
            '#     user, _ = users.objects.get_or_create(**{users.USERNAME_FIELD: "proof"})',
            "#     print(AccessToken.for_user(user))",
        )
    elif token.key:
        out.comment(
            f"The token is read from the query ({token.place}); handshake_token_command, such as "
            "[python, manage.py, mint_token], has to print a good one for a user that is there."
        )
    elif token.session:
        out.comment(
            "The routes know users by their session's cookie; what a consumer refuses without one is not proven."
        )
