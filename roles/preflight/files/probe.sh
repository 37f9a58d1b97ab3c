# What a host is, as lines `key=value`. Only reads. Comes to the host as the text of one command, behind python=….
version=$("$python" -c 'import platform; print(platform.python_version())' 2>/dev/null)
printf 'python=%s\n' "$version"
# Where uv looks: on the path of a daemon, and where it has put those that it fetched.
printf 'pythons=%s\n' "$(ls -d /usr/bin/python3.* /usr/local/bin/python3.* /opt/uv/python/*/bin/python3.* 2>&- |
  tr '\n' ' ')"
printf 'id=%s\n' "$(. /etc/os-release 2>/dev/null && printf %s "$ID")"
printf 'version=%s\n' "$(. /etc/os-release 2>/dev/null && printf %s "$VERSION_ID")"
printf 'init=%s\n' "$(cat /proc/1/comm 2>/dev/null)"
printf 'user=%s\n' "$(id -un 2>/dev/null)"
printf 'umask=%s\n' "$(umask)"
printf 'cores=%s\n' "$(getconf _NPROCESSORS_ONLN 2>/dev/null)"
printf 'memory_mb=%s\n' "$(awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo 2>/dev/null)"
for site in /etc/nginx/sites-enabled/*.conf; do
  [ -f "$site" ] || continue
  printf 'site:%s=' "$(basename "$site" .conf)"
  sed -nE 's/^ *(listen|server_name) +([^;]*);.*/\1 \2;/p' "$site" | tr -d '\n'
  echo
done
for limits in /etc/nginx/conf.d/*-limits.conf; do
  [ -f "$limits" ] || continue
  name=$(basename "$limits" -limits.conf)
  printf 'sockets:%s=%s\n' "$name" "$(sed -n 's/^# sockets //p' "$limits")"
  printf 'zone:%s=%s\n' "$name" "$(sed -n 's/.* zone=.*_site_sockets_\([0-9]*\):.*/\1/p' "$limits")"
done
printf 'worker_died=%s\n' "$(sed -n 's/^\([0-9/]* [0-9:]*\) .* worker process [0-9]* exited on signal .*/\1/p' \
  /var/log/nginx/error.log.1 /var/log/nginx/error.log 2>&- | tail -n1 | tr -d '/ :')"
# How many files a process may have open, and whether root may raise that.
printf 'open_files=%s\n' "$(awk '/^Max open files/ { print $5 }' /proc/1/limits 2>/dev/null)"
printf 'capabilities=%s\n' "$(awk '/^CapBnd/ { print $2 }' /proc/self/status 2>/dev/null)"
for name in net/core/somaxconn fs/nr_open fs/file-max net/netfilter/nf_conntrack_max net/ipv4/ip_local_port_range; do
  [ -r "/proc/sys/$name" ] || continue
  [ -w "/proc/sys/$name" ] || printf 'fixed:%s=yes\n' "$(echo "$name" | tr / .)"
  printf 'sysctl:%s=%s\n' "$(echo "$name" | tr / .)" "$(cat "/proc/sys/$name")"
done
printf 'sysctl_file=%s\n' "$(sed -n 's/^\([a-z].*\) = /\1=/p' /etc/sysctl.d/60-channels.conf 2>&- | tr '\n' ';')"
printf 'homes=%s\n' "$(ls -d /etc/nginx /etc/redis /etc/postgresql/*/main /etc/pgbouncer /etc/supervisor /etc/haproxy \
  /etc/keepalived /etc/rsyslog.d 2>&- | tr '\n' ' ')"
printf 'addresses=%s\n' "$(hostname -I 2>&-)"
for order in /etc/*/certificate/order.json; do
  [ -f "$order" ] || continue
  app=${order#/etc/}
  printf 'ordered:%s=%s\n' "${app%%/*}" "$(tr -d '\n' <"$order")"
done
for home in /srv/*/generations; do
  [ -d "$home" ] && printf 'project:%s=there\n' "$(basename "$(dirname "$home")")"
done
printf 'users=%s\n' "$(awk -F: '$6 != "/srv/" $1 { printf "%s ", $1 }' /etc/passwd 2>/dev/null)"
printf 'run=%s\n' "$(cd /run 2>/dev/null && ls -d -- */ 2>/dev/null | tr -d '/' | tr '\n' ' ')"
printf 'redis_projects=%s\n' "$(sed -n 's/^# //;/^project=/p' /etc/redis/users.d/*.acl 2>&- | tr '\n' ';')"
printf 'logs_there=%s\n' "$(ls /etc/channels-logs/*.conf 2>&- | tr '\n' ' ')"
[ ! -f /etc/redis/primary.json ] || echo redis_group=yes
for env in /srv/*/generations/*/env; do
  [ -f "$env" ] || continue
  plain=$(sed -nE "s#^[A-Za-z0-9_]+=.*redis://(.*@)?([^@/?']*).*#\\2#p" "$env" | tr '\n' ' ')
  generation=${env%/env}
  [ -z "$plain" ] || printf 'redis_plain:%s=%s\n' "${generation#/srv/}" "$plain"
done
printf 'host_aliases=%s\n' "$(sed -n '/^# BEGIN names of /,/^# END names/p' /etc/hosts 2>&- | tr '\n' ';')"
printf 'postgresql_projects=%s\n' "$(sed -n '/^# BEGIN project /,/^# END project/p' \
  /etc/postgresql/*/main/pg_hba.conf 2>&- | tr '\n' ';')"
state=none
for cluster in /var/lib/postgresql/*/main; do
  [ -e "$cluster/PG_VERSION" ] || continue
  if [ -e "$cluster/standby.signal" ]; then state=standby
  elif [ -e "$cluster/channels-superseded" ]; then state=former
  elif grep -qs '^# BEGIN project ' "/etc${cluster#/var/lib}/pg_hba.conf"; then state=primary
  else state=fresh; fi
done
printf 'postgresql_state=%s\n' "$state"
[ ! -e /usr/local/sbin/channels-postgresql-guard ] || echo postgresql_standby=yes
printf 'postgresql_connections=%s\n' "$(sed -n 's/^max_connections = //p' \
  /etc/postgresql/*/main/conf.d/channels-start.conf 2>&-)"
printf 'backup_projects=%s\n' "$(ls /etc/systemd/system/*-backup.timer /etc/cron.d/*-backup 2>&- |
  sed 's|.*/||; s/-backup[.a-z]*$//' | tr '\n' ' ')"
printf 'pgbackrest_project=%s\n' "$(sed -n 's/^ *"app": "\(.*\)",$/\1/p' /etc/pgbackrest/channels.json 2>&-)"
printf 'pgbouncer_projects=%s\n' "$(ls /etc/pgbouncer/projects 2>&- | sed -n 's/\.json$//p' | tr '\n' ' ')"
# Whose connection this is, which sudo takes out of the environment: of the nearest process above that still has it.
pid=$$ connection=
while [ "${pid:-0}" -gt 1 ] && [ -z "$connection" ]; do
  connection=$(tr '\0' '\n' <"/proc/$pid/environ" 2>&- | sed -n 's/^SSH_CONNECTION=//p')
  pid=$(sed 's/.*) [A-Za-z] //;s/ .*//' "/proc/$pid/stat" 2>&-)
done
printf 'ssh_connection=%s\n' "$connection"
printf 'sshd=%s\n' "$(/usr/sbin/sshd -T 2>&- | tr '\n' ';')"
# Ports where it listens: as it is configured, and as this connection has come.
printf 'ssh_ports=%s\n' "$({
  /usr/sbin/sshd -T 2>&- | sed -n 's/^port //p'
  printf '%s' "$connection" | awk '{ print $4 }'
} | sort -nu | tr '\n' ' ')"
printf 'hardening_there=%s\n' "$(ls /etc/ssh/sshd_config.d/00-channels.conf /etc/apt/apt.conf.d/60channels-upgrades \
  /etc/fail2ban/jail.d/channels.conf 2>&- | tr '\n' ' ')"
# What each project wants of the host, a line of JSON each.
printf 'hardening_projects=[%s]\n' "$(cat /etc/channels-hardening/*.json 2>&- | paste -sd ,)"
# Whether it may set its clock (CAP_SYS_TIME, bit 25 of those that any process here can get), and what does.
printf 'clock_own=%s\n' "$((0x$(sed -n 's/^CapBnd:[ \t]*//p' /proc/self/status) >> 25 & 1))"
for daemon in chrony=/usr/sbin/chronyd systemd-timesyncd=/lib/systemd/systemd-timesyncd other=/usr/sbin/ntpd; do
  if [ -x "${daemon#*=}" ]; then
    echo "time_daemon=${daemon%%=*}"
    break
  fi
done
printf 'clock=%s %s\n' "$asked" "$(date +%s)"
printf 'firewall_projects=%s\n' "$(ls /etc/channels-firewall/projects 2>&- | sed -n 's/\.nft$//p' | tr '\n' ' ')"
printf 'metrics_projects=%s\n' "$(ls /etc/channels-metrics 2>&- | sed -n '/\.probe\.json$/d;s/\.json$//p' | tr '\n' ' ')"
printf 'firewall_ufw=%s\n' "$(sed -n 's/^ENABLED=//p' /etc/ufw/ufw.conf 2>&-)"
printf 'firewall_firewalld=%s\n' "$(pidof -x firewalld 2>&-)"
# Chains of others that refuse what comes in: by their policy, or by a rule without a condition.
if command -v nft >/dev/null 2>&1; then
  printf 'firewall_others=%s\n' "$(nft list ruleset 2>&- | awk '
    $1 == "table" { table = $2 " " $3 }
    $1 == "chain" { chain = $2; input = 0 }
    table == "inet channels" || table ~ / f2b/ { next }
    /type filter hook input/ { input = 1; if (/policy drop/) print table " " chain ";" }
    input && /^[ \t]*(counter packets [0-9]+ bytes [0-9]+ )?(drop|reject)/ { print table " " chain ";" }
  ' | sort -u | tr -d '\n')"
fi
if grep -qs filter /proc/net/ip_tables_names /proc/net/ip6_tables_names; then
  printf 'firewall_legacy=%s\n' "$({ iptables-legacy -S INPUT; ip6tables-legacy -S INPUT; } 2>&- |
    grep -E '^-P INPUT (DROP|REJECT)|^-A INPUT -j (DROP|REJECT)' | tr '\n' ';')"
fi
echo listeners=asked
if command -v ss >/dev/null 2>&1; then
  ss -Hltnp 2>/dev/null | sed = | sed 'N;s/^/ss:/;s/\n/=/'
else
  {
    awk 'FNR > 1 && $4 == "0A" { print "listens", $2, $10 }' /proc/net/tcp /proc/net/tcp6
    ls -l /proc/[0-9]*/fd
  } 2>/dev/null | awk '
    $1 == "listens" { address[$3] = $2 }
    /^\/proc\// { split($1, path, "/") }
    match($0, /socket:\[[0-9]+\]/) && (inode = substr($0, RSTART + 8, RLENGTH - 9)) in address {
      getline name < ("/proc/" path[3] "/comm"); close("/proc/" path[3] "/comm")
      print "kernel:" ++count "=" address[inode], path[3], name; named[inode] = 1
    }
    END { for (inode in address) if (!(inode in named)) print "kernel:" ++count "=" address[inode] }'
fi
# Whose edge this is: the second line of the bundle's own configuration says so.
printf 'haproxy_project=%s\n' "$(sed -n '2s/^# The edge of \([^:]*\):.*/\1/p' /etc/haproxy/haproxy.cfg 2>&-)"
if [ -f /etc/haproxy/haproxy.cfg ]; then
  printf 'haproxy_conf=%s\n' "$(md5sum </etc/haproxy/haproxy.cfg | cut -c-32)"
  printf 'haproxy_packaged=%s\n' "$(dpkg-query -W -f '${Conffiles}\n' haproxy 2>&- |
    awk '$1 ~ "/haproxy.cfg$" { printf "%s ", $2 }')"
fi
printf 'pid:haproxy=%s\n' "$(pidof haproxy 2>&-)"
printf 'pid:nginx=%s\npid:redis=%s\npid:sentinel=%s\npid:postgresql=%s\npid:pgbouncer=%s\n' \
  "$(cat /run/nginx.pid 2>&-)" "$(cat /run/redis/redis-server.pid 2>&-)" "$(cat /run/sentinel/redis-sentinel.pid 2>&-)" \
  "$(head -qn1 /run/postgresql/*.pid 2>&- | tr '\n' ' ')" \
  "$(cat /run/pgbouncer/pgbouncer.pid /run/postgresql/pgbouncer.pid 2>&- | tr '\n' ' ')"
for site in /etc/nginx/sites-enabled/*; do
  case $site in *.conf) continue ;; esac
  [ -f "$site" ] && printf 'nginx_aside:%s=%s\n' "$(basename "$site")" "$(md5sum <"$site" | cut -c-32)"
done
if [ -f /etc/nginx/nginx.conf ]; then
  if head -n3 /etc/nginx/nginx.conf | grep -qxF '# What all sites on this host share.'; then
    echo nginx_conf=ours
  else
    printf 'nginx_conf=%s\n' "$(md5sum </etc/nginx/nginx.conf | cut -c-32)"
    printf 'nginx_blocks=%s\n' "$(sed -nE 's/^(stream|mail)[ {].*/\1/p' /etc/nginx/nginx.conf | tr '\n' ' ')"
  fi
  printf 'nginx_packaged=%s\n' "$(dpkg-query -W -f '${Conffiles}\n' nginx-common nginx 2>&- |
    awk '$1 ~ "/nginx.conf$|/sites-available/default$" { printf "%s ", $2 }')"
fi
if command -v apt-get >/dev/null 2>&1; then echo apt=yes; else echo apt=no; fi
