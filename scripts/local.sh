#!/bin/sh
# Whether this machine itself can be the host, and what that does to it: asks once, before anything is changed.
#   local.sh ask      say what will be installed, and go on after a yes (LAB_YES=1 is one)
#   local.sh greet    say how to open what runs
#   local.sh down     say that there is no container to be removed
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf 'local: %s\n' "$1" >&2
    exit 1
}

ask() {
    [ "$(. /etc/os-release 2>/dev/null && echo "${ID:-}")" = debian ] ||
        fail "this is not Debian. A container will do: make up"
    [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null ||
        fail "root is needed, and sudo asks for a password or is missing. Run this as root, or: sudo -v && make up LAB=local"
    [ ! -e /srv/dashboard/live ] || return 0 # it was asked when that came
    for port in 80 8000; do
        # nginx itself is asked about below.
        holder=$(python3 scripts/port_holder.py "$port")
        case $holder in '' | nginx*) ;; *) fail "port $port is taken by $holder. Stop it first" ;; esac
    done
    cat <<END

This machine itself becomes the host: there is no container around what follows.

  packages   $(.venv/bin/python scripts/local_packages.py)
             from Debian, with what they depend on; uv and the project's own from the package index
  user       dashboard
  folders    /srv/dashboard, /etc/dashboard, /opt/uv, /var/cache/uv, /run/dashboard
  files      in /etc/nginx, /etc/redis, /etc/systemd/system or /etc/supervisor, /usr/local/bin, /usr/local/sbin, /usr/local/lib
  ports      80 on every address; 8000 (nginx) and 6379 (Redis) on loopback
END
    for file in /etc/nginx/nginx.conf /etc/redis/redis.conf; do
        [ ! -e "$file" ] || echo "  replaced   $file, which is there now"
    done
    echo
    [ "${LAB_YES:-}" != 1 ] || return 0
    [ -t 0 ] || fail "nobody is here to ask. If that is what you want: make up LAB=local LAB_YES=1"
    printf 'Go on? [y/N] '
    read -r answer
    case $answer in y | Y | yes) ;; *) fail "nothing was changed" ;; esac
}

greet() {
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    token=$($sudo dashboard-manage mint_token --user you --ttl 86400)
    cat <<END

The dashboard is up on this machine, and its WebSocket is proven.

  page    http://localhost/#token=$token
  token   $token
          (for 24 hours; another one: dashboard-manage mint_token --user you)

  Open the socket from a shell, then type {"type": "status"} and Enter:

  .venv/bin/websockets 'ws://localhost/ws/dashboard/?token=$token'
END
}

case ${1:-} in
ask) ask ;;
greet) greet ;;
down) fail "this machine is the host, and nothing was removed from it" ;;
*) fail "ask, greet or down?" ;;
esac
