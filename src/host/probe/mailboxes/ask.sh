#!/bin/sh
# Reads what mail clients see of each mailbox: through the server that serves, else in a world of our
# own. `sh -c THIS sh READ WORLD BOUNDARY WAY INBOX`, users on standard input as in read.sh.
# WAY is `client`, `aside`, or `beside`: in a world of our own whether it serves or not.
read=$1 world=$2 boundary=$3 way=$4 inbox=$5

give_up() {
    printf '\n%s words %s\n\n%s failed %s\n' "$boundary" "$2" "$boundary" "$1"
    exit 0
}

base=$(doveconf -h base_dir 2>/dev/null) || give_up configuration "$(doveconf -n 2>&1 >/dev/null | head -n 1)"
master=$(cat "$base/master.pid" 2>/dev/null)
runs=
if [ -n "$master" ] && [ "$(cat "/proc/$master/comm" 2>/dev/null)" = dovecot ]; then
    runs=yes
fi
case $way$runs in
    clientyes) exec /bin/sh -c "$read" sh "$boundary" serving "$inbox" ;;
    asideyes) give_up serving "process $master" ;;
esac
# Process 1 of a namespace takes everything in it along when it dies, and it dies with its parent.
kill=
if unshare --help 2>&1 | grep -q -e --kill-child; then
    kill=--kill-child
fi
# shellcheck disable=SC2086
exec unshare --mount --pid --fork $kill /bin/sh -c '
while :; do
    unshare --mount --pid --fork $0 /bin/sh -c "$1" sh "$2" "$3" "$4"
    status=$?
    # 10: memory is full of copies; the users that remain are read in a fresh world.
    [ "$status" = 10 ] || exit "$status"
done' "$kill" "$world" "$read" "$boundary" "$inbox"
