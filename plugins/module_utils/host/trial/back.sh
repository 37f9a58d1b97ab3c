#!/bin/sh
# Puts back what was there before a trial, unless it was confirmed. It stands in the trial's folder on the host. The
# trial's own timer calls it with the trial's id; the host, when it boots, with `boot`. Daemons then read the files by
# themselves; if this waited for one, that one would be waiting for us.
folder=${0%/*}
name=${folder##*/}
exec 9>"${folder%/*}/lock" && flock 9 || exit 1
id=$(cat "$folder/id" 2>/dev/null)
[ -n "$id" ] || exit 0
case $1 in "$id" | boot) ;; *) exit 0 ;; esac
number=0
while IFS= read -r path; do
    # In one step, since daemons may read it meanwhile.
    cp -p "$folder/$number" "$path.trial" && mv -f "$path.trial" "$path"
    number=$((number + 1))
done <"$folder/replaced"
while IFS= read -r path; do
    rm -f "$path"
done <"$folder/added"
[ "$1" = boot ] || sh "$folder/load" 9>&- ||
    logger -t channels-trial "$name: the files are back, and could not be loaded"
rm -rf "$folder"
logger -t channels-trial "$name: nobody has confirmed the change, and what was on trial is as it was before"
