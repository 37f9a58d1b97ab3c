"""What the doctor finds by asking the application and by following the port. Data only; a part of the catalogue."""

from __future__ import annotations

from .entry import Entry

FOLLOW_ENTRIES = (
    # --- the application
    Entry("E251_NO_WEBSOCKET", "import", "The ASGI object does not know WebSockets",
          "{application} knows {types} and nothing else, so the server answers a handshake with 500. {other}",
          "{serve}"),
    Entry("E252_NO_HTTP", "import", "The ASGI object does not know HTTP",
          "{application} knows {types}, so sockets open, but the server answers pages with 500.",
          "In {module}: \"http\": get_asgi_application() in the ProtocolTypeRouter; or let a WSGI server answer pages "
          "(asgi_http: wsgi)"),
    Entry("E441_ORIGIN_LIST", "origin", "The validator's own list lacks the Origin",
          "The ASGI object has an OriginValidator with a list of its own, so ALLOWED_HOSTS does not matter. It allows "
          "{origins}, and the page is {origin}. An entry with a scheme must match in scheme, host and port.",
          "In the OriginValidator of {module}: add \"{origin}\" to its list"),
    Entry("E442_MIDDLEWARE_ORDER", "origin", "The ASGI middleware is in the wrong order",
          "{error} The outer middleware has to come first: cookies, then session, then user.",
          "In {module}: AuthMiddlewareStack(…) around what needs the user, in place of {chain}"),
    Entry("E443_AS_ASGI", "origin", "The route has a consumer without as_asgi()",
          "The route of {path} leads to the class {consumer}, and not to an instance for each socket.",
          "In routing.py: {consumer}.as_asgi() in place of {consumer}"),
    Entry("E444_SUBPROTOCOL", "origin", "The socket opens without a subprotocol",
          "The client offers {offered}, and the answer chooses none. Browsers close such a socket at once.",
          "In the consumer: await self.accept(subprotocol=…) with one of self.scope[\"subprotocols\"]; or have the "
          "client offer none"),
    Entry("E445_MIGRATIONS", "origin", "A table is missing in the database",
          "Migrations have not been applied to the database that the processes use: {error}",
          "In the project's folder and environment: python manage.py migrate"),
    # --- the channel layer
    Entry("E531_LAYER_TLS_OPTIONS", "layer", "The channel layer has TLS options, but its address is without TLS",
          "{options} is for rediss:// only. With {address}, redis-py raises a TypeError at each connection.",
          "In CHANNEL_LAYERS: remove {options}; or rediss:// in place of redis://, if Redis speaks TLS"),
    Entry("E532_LAYER_TLS", "layer", "The channel layer uses TLS, and Redis does not",
          "The layer's address is {address}, but what listens there does not speak TLS.",
          "In the layer's address (REDIS_URL): redis:// in place of rediss://; and remove its ssl_ options"),
    Entry("E533_REDIS_WANTS_TLS", "layer", "Redis uses TLS, and the channel layer does not",
          "What listens at {address} answers TLS only.",
          "In the layer's address (REDIS_URL): rediss:// in place of redis://"),
    Entry("E534_LAYER_HOST", "layer", "A URL stands where the layer expects a host name",
          "The channel layer takes {host} for a host's name.",
          "In CHANNEL_LAYERS: \"hosts\": [{right}]"),
    Entry("E535_REDIS_NAME", "layer", "The name of Redis's host has no address",
          "The channel layer asks for {host}, which this host cannot resolve: it is misspelt, or a name that exists "
          "only among containers.",
          "In the layer's address (REDIS_URL): the host's real name or address{instead}"),
    Entry("E536_REDIS_ELSEWHERE", "layer", "Redis listens elsewhere",
          "A Redis runs on this host and listens at {listening}, but the channel layer connects to {address}.",
          "In the layer's address (REDIS_URL): {listening} in place of {address}; or port and bind in redis.conf"),
    Entry("E537_LAYER_WORKERS", "layer", "The channel layer does not leave the process",
          "InMemoryChannelLayer reaches only sockets of the process that sends, and {workers} sends from a process of "
          "its own. Nothing arrives, and nothing is logged.",
          "CHANNEL_LAYERS = {{\"default\": {{\"BACKEND\": \"channels_redis.pubsub.RedisPubSubChannelLayer\", …}}}} for "
          "both"),
    Entry("W537_LAYER_WORKERS", "layer", "The channel layer does not reach workers",
          "InMemoryChannelLayer reaches only sockets of the process that sends. {workers} runs beside it; what it "
          "sends would be lost.",
          "CHANNEL_LAYERS = {{\"default\": {{\"BACKEND\": \"channels_redis.pubsub.RedisPubSubChannelLayer\", …}}}} for "
          "both, if it is to send messages"),
)  # fmt: skip

#: What a code explains: these others are what the same fault looks like to rules that know less.
_GENERAL = ("E408_CONSUMER_RAISES", "E410_CONNECT_SLOW", "E111_SERVER_SILENT", "E905_UNEXPLAINED")
_LAYER = (*_GENERAL, "E501_REDIS_DOWN", "E510_LAYER", "E514_REDIS_TLS")
EXPLAINS: dict[str, tuple[str, ...]] = {
    "E251_NO_WEBSOCKET": (*_GENERAL, "E301_UPGRADE_LOST", "E312_EDGE"),
    "E441_ORIGIN_LIST": ("E405_ORIGIN", "E401_NO_TOKEN", "E402_TOKEN_BAD", "E413_OTHER_SECRET"),
    "E442_MIDDLEWARE_ORDER": _GENERAL,
    "E443_AS_ASGI": _GENERAL,
    "E445_MIGRATIONS": _GENERAL,
    "E531_LAYER_TLS_OPTIONS": _LAYER,
    "E532_LAYER_TLS": _LAYER,
    "E533_REDIS_WANTS_TLS": _LAYER,
    "E534_LAYER_HOST": _LAYER,
    "E535_REDIS_NAME": _LAYER,
    "E536_REDIS_ELSEWHERE": _LAYER,
}
