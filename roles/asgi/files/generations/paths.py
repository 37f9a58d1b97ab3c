"""Where things of the project are on this host. The project has the name of the folder that this tool is in."""

from pathlib import Path

TOOL = Path(__file__).resolve().with_name("__main__.py")  # the file that starts this program again
LIBRARY = TOOL.parents[1]
APP = LIBRARY.name
HOME = Path("/srv") / APP
HISTORY = HOME / "history.jsonl"
ETC = Path("/etc")
CRON = ETC / "cron.d" / APP
UPSTREAM = ETC / "nginx" / "conf.d" / f"{APP}-upstream.conf"
ACCESS_LOG = Path("/var/log/nginx") / f"{APP}.access.log"
BIN, SBIN = Path("/usr/local/bin"), Path("/usr/local/sbin")
