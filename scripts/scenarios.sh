#!/bin/sh
# Runs molecule scenarios, three at a time: a run of Ansible waits for its host half of the time, and three fill two
# cores. The longest begin first.
#   scenarios.sh [SCENARIO...]    by default all of them; JOBS=1 has one at a time
# The output of each goes to artifacts/molecule/SCENARIO.log, and is shown if it fails. Failures are listed at the end.
set -eu
cd "$(dirname "$0")/.."
mkdir -p artifacts/molecule
LONGEST="release fleet secure day-two supervisor doctor projects default"

if [ "${1:-}" = --one ]; then
    log=artifacts/molecule/$2.log
    begun=$(date +%s)
    # One scenario has the newest Python and ansible-core that this machine has, the others the Python that `make` was given.
    if [ "$2" = default ]; then
        newest=$(scripts/newest.sh) || { echo "molecule: $2 FAILED: its tools could not be installed"; exit 1; }
        PATH=$newest:$PATH
    fi
    echo "molecule: $2 begins"
    if molecule test -s "$2" >"$log" 2>&1; then
        passed=$(grep -c ' PASSED' "$log" || true)
        echo "molecule: $2 passed in $((($(date +%s) - begun) / 60)) min, $passed tests"
    else
        cat "$log"
        mv "$log" "${log%.log}.failed.log"
        echo "molecule: $2 FAILED after $((($(date +%s) - begun) / 60)) min; all of it is in ${log%.log}.failed.log"
        exit 1
    fi
    exit 0
fi

rm -f artifacts/molecule/*.failed.log
molecule/lab/lab.py engine
# shellcheck disable=SC2046 # names of scenarios have no spaces
[ $# -gt 0 ] || set -- $(ls molecule/*/molecule.yml | cut -d/ -f2)
wanted=" $* "
for name in $LONGEST "$@"; do
    case $wanted in *" $name "*) echo "$name" ;; esac
done | awk '!seen[$0]++' | xargs -n 1 -P "${JOBS:-3}" scripts/scenarios.sh --one && exit 0
for log in artifacts/molecule/*.failed.log; do
    echo "molecule: what failed, by $log"
    sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E '(FAILED|ERROR) \S+::|\bfatal: |\.py:[0-9]+: | E   ' | cut -c 1-400 | tail -n 60
done
exit 1
