"""The host that plain.sh has set up, as twelve operations of pyinfra: what it takes to find that nothing changed."""

from io import StringIO

from pyinfra.context import host
from pyinfra.facts.files import FileContents  # type: ignore[attr-defined]
from pyinfra.operations import apt, files, pip, server, systemd

HOME = "/srv/dashboard"


def same(path: str) -> StringIO:
    """Return a file's text as it is on the host, so that putting it there changes nothing."""
    return StringIO("\n".join(host.get_fact(FileContents, path=path)) + "\n")


apt.packages(packages=["ca-certificates", "nginx", "redis-server", "python3-venv"], no_recommends=True)
server.user(user="dashboard", home=HOME, shell="/usr/sbin/nologin", system=True, create_home=False)
files.directory(path=HOME)
files.directory(path=f"{HOME}/shared", user="dashboard", group="dashboard")
pip.packages(requirements=f"{HOME}/code/backend/requirements/base.txt", virtualenv=f"{HOME}/venv")
files.put(src=same("/etc/dashboard.env"), dest="/etc/dashboard.env", user="root", group="dashboard", mode="640")
files.put(src=same("/etc/systemd/system/dashboard.service"), dest="/etc/systemd/system/dashboard.service")
files.put(src=same("/etc/nginx/sites-available/dashboard"), dest="/etc/nginx/sites-available/dashboard")
files.link(path="/etc/nginx/sites-enabled/dashboard", target="../sites-available/dashboard")
systemd.service(service="redis-server", running=True, enabled=True)
systemd.service(service="dashboard", running=True, enabled=True)
systemd.service(service="nginx", running=True, enabled=True)
