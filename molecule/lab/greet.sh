#!/bin/sh
# Says how to open what runs on the lab host: its page, a token, and a line that opens the socket.
set -eu
cd "$(dirname "$0")/../.."
port=$(sed -n 's/.*"80": \([0-9]*\).*/\1/p' .lab/ports/lab.json)
token=$(ssh -F .lab/ssh_config lab dashboard-manage mint_token --user you --ttl 86400)

cat <<END

The dashboard is up, and its WebSocket is proven.

  page    http://localhost:$port/#token=$token
  token   $token
          (for 24 hours; another one: ssh -F .lab/ssh_config lab dashboard-manage mint_token --user you)

  Open the socket from a shell, then type {"type": "status"} and Enter:

  .venv/bin/websockets 'ws://localhost:$port/ws/dashboard/?token=$token'

  log in  ssh -F .lab/ssh_config lab
END
