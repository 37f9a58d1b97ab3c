#!/bin/sh
# Says how to open what runs on the lab host: its page, a token, and a line that opens the socket.
set -eu
cd "$(dirname "$0")/../.."
published() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" .lab/ports/lab.json; }
port=$(published 80)
tls=$(published 443)
token=$(ssh -F .lab/ssh_config lab dashboard-manage mint_token --user you --ttl 86400)

cat <<END

The dashboard is up, and its WebSocket is proven.

  page    http://localhost:$port/#token=$token
  token   $token
          (for 24 hours; another one: ssh -F .lab/ssh_config lab dashboard-manage mint_token --user you)

  Open the socket from a shell, then type {"type": "status"} and Enter:

  .venv/bin/websockets 'ws://localhost:$port/ws/dashboard/?token=$token'

END
if [ -n "$tls" ]; then
    cat <<END
  With TLS, once your browser knows the lab's authority:

  page    https://localhost:$tls/#token=$token
  socket  wss://localhost:$tls/ws/dashboard/?token=$token

  Firefox:  Settings, Certificates, View Certificates, Authorities, Import: .lab/authority/authority.crt
  Chromium: certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n lab -i .lab/authority/authority.crt   (of libnss3-tools)
  curl:     curl --cacert .lab/authority/authority.crt https://localhost:$tls/

END
fi
cat <<END
  log in  ssh -F .lab/ssh_config lab
END
