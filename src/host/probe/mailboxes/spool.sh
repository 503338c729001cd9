#!/bin/sh
# Measures mailboxes without opening one of them for writing: run as root in the world that world.sh
# makes, as `sh -c THIS sh BOUNDARY aside BEFORE`, with the users on standard input as in read.sh.
# Sizes are those of files, by find; numbers of messages and dates are Dovecot's, by doveadm, each asked
# once for all users. BEFORE is a day, YYYY-MM-DD, or `-`: messages of each INBOX that were received
# before it are listed too.
#
# Every section begins with a line that begins with BOUNDARY, which no mailbox can know. What is in
# them is read by resource::spool::read.
boundary=$1 before=$3
here=/.reconcile

say() { printf '\n%s %s\n' "$boundary" "$*" || exit 74; }
give_up() {
    [ -z "$2" ] || say "words $2"
    say "failed $1"
    exit 0
}
# All users at once. What is wrong with one of them says so on standard error, and he has no line.
ask() { TZ=UTC0 doveadm -f tab "$@" </dev/null 2>>"$here/words"; }

cut -f2 >"$here/users"
base=$(doveconf -h base_dir 2>/dev/null)
[ -S "$base/auth-userdb" ] || give_up start 'it does not run'

# Where Dovecot has the INBOX, and where a folder would be.
ask mailbox path -F "$here/users" -t mailbox INBOX | sed 1d >"$here/inboxes"
ask mailbox path -F "$here/users" -t mailbox reconcile | sed -e 1d -e 's,/[^/]*$,,' >"$here/roots"
say inboxes
cat "$here/inboxes"
say roots
cat "$here/roots"

say tops
cut -f2 "$here/inboxes" | tr '\n' '\0' |
    xargs -0 -r sh -c 'find "$@" -maxdepth 0 -printf "%y\t%s\t%p\n" 2>/dev/null; :' sh
# What Dovecot keeps for itself is no mail. %d of mawk before 1.3.4 (Debian 10) ends at 2 GiB.
say files
cut -f2 "$here/roots" | sort -u | tr '\n' '\0' |
    xargs -0 -r sh -c 'find "$@" \( -name .imap -o -name "dovecot*" -o -name .subscriptions \) -prune \
        -o -type f -printf "%d\t%s\t%H\n" 2>/dev/null; :' sh |
    awk -F '\t' '
        { bytes[$3] += $2 }
        $1 == 1 { first[$3] += $2 }
        $1 == 2 { second[$3] += $2 }
        END { for (root in bytes) printf "%.0f\t%.0f\t%.0f\t%s\n", first[root], second[root], bytes[root], root }'

# An mbox that may be written is opened for writing, and copied into memory whole for that. Where its
# mode cannot be changed without its content, nobody is counted.
if ! grep -q 'metacopy=on' /proc/self/mounts; then
    say 'words this kernel has no metacopy'
    say finished
    exit 0
fi
awk -F '\t' '
    NR == FNR { inbox[$1] = $2; next }
    inbox[$1] != $2 { printf "%s%c%s%c", inbox[$1], 0, $2, 0 }' "$here/inboxes" "$here/roots" |
    xargs -0 -r sh -c 'find "$@" -name .imap -prune -o -type f ! -name "dovecot*" -perm /222 \
        -exec chmod a-w {} + 2>/dev/null; :' sh

say status
ask mailbox status -F "$here/users" 'messages uidvalidity' '*' | sed 1d
say oldest
ask fetch -F "$here/users" 'date.received mailbox' mailbox '*' 1 | sed 1d
if [ "$before" != - ]; then
    say old
    ask fetch -F "$here/users" 'uid date.received size.physical flags' mailbox INBOX before "$before" | sed 1d
    # Without the plugin there is no such command, and no quota.
    say quota
    doveadm -f tab quota get -F "$here/users" </dev/null 2>/dev/null | sed 1d
fi
say 'complaints'
head -c 2000 "$here/words"
say finished
