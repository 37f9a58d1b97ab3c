"""Names that tell nothing about whose they are, and how names of hosts end. Data only."""

from __future__ import annotations

_COMMON = """
    access account accounts active admin administrator alpine ansible apache apache2 api app apps application
    applications asgi async auth authority back backend bad base beta bin bionic blue bookworm broken bullseye bundle
    cache caddy ca celery cert certificate certificates channel channels ci client clients close closed cluster code
    conf config configuration connect connection container containers controller core cron current daemon daphne data
    database db debian default demo deploy deployer dev development dist django dns docker domain download ec2-user
    edge edges elsewhere enabled env environment error errors etc example examples expired failed fastcgi foreign
    front frontend fpm gateway generation good green group guest gunicorn handshake haproxy health home host hosts
    html http https hypercorn idle image import index info internal invalid ip ipv4 ipv6 jammy job journal key keys
    kernel lab latest layer lb lib listener live load local localdomain localhost lock log login logs mail main
    manage manager managed master media memory message messages metrics mgmt missing mobile monitor monitoring mysql
    name names network new nginx no nobody node nodes nogroup none note null office ok old one operator opened
    origin other outside page pages passed path php pid pki plain play port postgres postgresql primary private
    process processes prod production profile program project projects prometheus proxies proxy public python python3
    queue ready realtime redis release releases remote replica replication request root route router routing run
    runner runserver runtime sandbox secondary secret secrets secure serve served server servers service services
    session settings shared shop site sites skipped socket sockets source src srv ssh ssl stack staging standby start
    static status storage store stores supervisor supervisord svc sys system systemd target task tasks tcp temp test
    testing tests tls tmp token tokens tool tools traefik trixie tunnel ubuntu udp undefined unit unix unknown update
    upload uploads upstream user users usr uvicorn uwsgi vagrant value values var venv venvs version virtual vps warned
    warning watch web webapp websocket websockets work worker workers world ws wsgi wss www www-data yes zone
    chrony chronyd containerd dbus dockerd fail2ban getty journald logind networkd nftables ntp pgbouncer polkit
    resolved rsyslog rsyslogd sentinel timesyncd udev udevd keepalived node-exporter certbot memcached rabbitmq openvpn
    akamai awselb cloudflare envoy fastly iis line listen litespeed openresty varnish channels-redis asgiref
    address party scope consumer consumers instance instances good bad messagebus sshd polkitd
"""
#: Words that are no names of their own, in lower case: masking them would hide what a report is about.
COMMON = frozenset(_COMMON.split())
_FILES = """
    access bak cer cert conf crt csr default error gz html ini json key link lock log old pem php pid py req rules
    service site sock socket ssl target timer toml txt yaml yml
"""
#: Endings of files that stand behind a host's name.
FILES = frozenset(_FILES.split())
_SAFE_TLDS = """
    arpa biz com corp edu eu example gov home intern internal intranet lan localdomain mil net org test
    ad ae ag ar au az ba bb bd bg bh bn bo br bt bw by bz ca ch ci ck cl cm cn cr cu cv cy cz de dj dk dm dz
    ec ee eg er es et fi fj fk fo fr ga gb gd ge gg gh gi gl gm gp gq gr gt gu gw gy hk hn hr ht hu
    ie il iq ir je jm jo jp ke kg kh km kn kp kr kw ky kz lb lc li lk lr lt lu lv ly ma mc mg mh
    mk mm mn mp mr mt mu mv mw mx my mz na ne ng ni nl np nr nu nz om pa pe pf pg ph pk pm pn pr pt pw qa ro ru rw
    sa sb sc sd se sg si sk sl sm sn sr st sv sx sy sz tc td tg th tj tk tl tm tn tr tt tv tw tz ua ug uk uy uz
    va vc ve vg vi vn vu wf ye yt za zm zw
"""
#: Last labels that make a name with a dot one of a host, wherever it stands. Others end modules and methods too
#: (`logger.info`, `threading.local`): a name with one of these has to stand where a host's name belongs.
SAFE_TLDS = frozenset(_SAFE_TLDS.split())
_PUBLIC = """
    acme-v02.api.letsencrypt.org debian.org digicert djangoproject.com globalsign.com isrg
    letsencrypt.org nginx.org python.org readthedocs.io redis.io sectigo
    ubuntu.com w3.org zerossl
"""
#: Domains, and parties of certificates, that everybody knows.
PUBLIC = frozenset(_PUBLIC.split()) | {"let's encrypt", "google trust services", "globalsign", "amazon"}  # fmt: skip
