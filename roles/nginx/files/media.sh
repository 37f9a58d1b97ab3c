# Opens a folder of uploads ($1), which is in the folder of shared files ($2), to nginx; run by their owner.
# Folders between are passed through like the outermost. The folder itself comes last: by it, the rest is known.
umask 027
# Until now nobody else got as far as these.
find "$2" -path "$1" -prune -o ! -type l -user "$(id -un)" -perm /007 -exec chmod o= {} +
mkdir -p "$1"
above=$(dirname "$1")
while [ "$above" != "$2" ]; do
    chgrp www-data "$above"
    chmod g=x "$above"
    above=$(dirname "$above")
done
chgrp -R --no-dereference www-data "$1"
chmod -R g+rX "$1"
find "$1" -mindepth 1 -type d -exec chmod g=rxs {} +
chmod 2750 "$1"
