"""The host beside its projects: nginx's workers, certificates, processes killed for their memory, cron, due reboots."""

from __future__ import annotations

import re
import ssl
import subprocess
from pathlib import Path

from .samples import Samples

PROC, RUN, NGINX = Path("/proc"), Path("/run"), Path("/etc/nginx/nginx.conf")
CGROUPS = Path("/sys/fs/cgroup")


class Certificates:
    """When certificates begin and end. openssl is asked again only when a file has changed."""

    def __init__(self) -> None:
        """Know none yet."""
        self._known: dict[str, tuple[float, float, float]] = {}

    def measure(self, paths: list[str], app: str) -> Samples:
        """Samples of the certificates in some files; of a chain, of the first one."""
        samples = Samples(app=app)
        for path in paths:
            try:
                changed = Path(path).stat().st_mtime
            except FileNotFoundError:
                continue
            if self._known.get(path, (0.0,))[0] != changed:
                self._known[path] = (changed, *dates(path))
            _, begin, end = self._known[path]
            samples.add("channels_certificate_not_before_timestamp_seconds", begin, path=path)
            samples.add("channels_certificate_not_after_timestamp_seconds", end, path=path)
        return samples


def dates(path: str) -> tuple[float, float]:
    """When the certificate in a file begins and ends, in seconds since the epoch."""
    command = ["openssl", "x509", "-noout", "-dates", "-in", path]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    begin, end = (re.search(rf"{name}=(.*)", said) for name in ("notBefore", "notAfter"))
    assert begin and end
    return ssl.cert_time_to_seconds(begin[1]), ssl.cert_time_to_seconds(end[1])


def open_files(pid: int) -> int:
    """How many files a process has open."""
    folder = PROC / str(pid) / "fd"
    return folder.stat().st_size or len(list(folder.iterdir()))  # newer kernels count them as the folder's size


def nginx() -> Samples:
    """Samples of nginx's fullest worker, and what a worker may have. Without nginx there are none."""
    samples = Samples()
    try:
        main = int((RUN / "nginx.pid").read_text())
        children = (PROC / str(main) / "task" / str(main) / "children").read_text().split()
        limits = (PROC / children[0] / "limits").read_text()
        files = [open_files(int(child)) for child in children if (PROC / child).exists()]
    except (OSError, ValueError, IndexError):
        return samples
    samples.add("channels_nginx_worker_files", max(files, default=0))
    if limit := re.search(r"^Max open files +(\d+)", limits, re.MULTILINE):
        samples.add("channels_nginx_worker_files_limit", float(limit[1]))
    if NGINX.exists() and (most := re.search(r"^\s*worker_connections\s+(\d+);", NGINX.read_text(), re.MULTILINE)):
        samples.add("channels_nginx_worker_connections_limit", float(most[1]))
    return samples


def out_of_memory() -> Samples:
    """Samples of the processes that the kernel has killed for their memory.

    /proc/vmstat counts them too, but for the whole kernel: a host that is a container would be blamed for what its
    neighbours lose. A cgroup's memory.events counts those below it, for a limit of their own or the machine's (Linux,
    Documentation/admin-guide/cgroup-v2.rst). Without cgroup v2 there are no samples.
    """
    samples = Samples()
    found = [path.read_text() for path in sorted(CGROUPS.glob("*.slice/memory.events"))]
    if found:
        counts = re.findall(r"^oom_kill (\d+)$", "\n".join(found), re.MULTILINE)
        samples.add("channels_out_of_memory_kills_total", sum(map(int, counts)))
    return samples


def reboot() -> Samples:
    """Whether a package has asked for a reboot."""
    samples = Samples()
    samples.add("channels_reboot_required", (RUN / "reboot-required").exists())
    return samples


def cron() -> Samples:
    """Whether cron runs."""
    samples = Samples()
    try:
        pid = int((RUN / "crond.pid").read_text())
        runs = (PROC / str(pid) / "comm").read_text().strip() == "cron"
    except (OSError, ValueError):
        runs = False
    samples.add("channels_cron_up", runs)
    return samples
