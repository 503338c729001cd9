#!/bin/sh
# Reads what mail clients see of each mailbox, by the server's own code: run as root, as
# `sh -c THIS sh BOUNDARY WAY INBOX`, with the users on standard input, one a line:
# NUMBER TAB NAME TAB HOME TAB SPOOL.
#
# WAY is `serving` (ask as one more login of the server that runs), or `aside` (in a world of our own
# made by world.sh: start a server without listeners there). INBOX is `select` to open the INBOX for
# writing after everything was read, or `leave`.
#
# Every line that is not the server's begins with BOUNDARY, which no mailbox can know. The words
# after it are read by identity::frames.
boundary=$1 way=$2 inbox=$3 renew='' shielded=''
tab=$(printf '\t') cr=$(printf '\r')
crlf=$cr'
'
exec 3>&1

# A reader that went away ends us: as process 1 of a world we are never killed by SIGPIPE.
say() { printf '\n%s %s\n' "$boundary" "$*" || exit 74; }
# What a program complained of: each line behind the boundary, because it may be anything.
quote() {
    while IFS= read -r line; do
        [ -z "$line" ] || say "words $line"
    done <<END
$1
END
}
# The run ends here: REASON, words.
give_up() {
    quote "$2"
    say "failed $1"
    exit 0
}

config=
if [ "$way" = aside ]; then
    here=/.reconcile
    config=$here/dovecot.conf
    effective=$(doveconf -n 2>/dev/null)
    main=$(printf '%s\n' "$effective" | sed -n '1s/^# [^:]*: //p')
    mkdir "$here/run" || give_up start 'cannot make a directory'
    {
        # Dovecot 2.4 wants these two first, whatever is included.
        printf '%s\n' "$effective" | grep -E '^dovecot_(config|storage)_version = '
        printf '!include %s\n' "${main:-/etc/dovecot/dovecot.conf}"
        printf 'protocols =\nlisten = 127.0.0.1\nssl = no\nbase_dir = %s\nlog_path = %s\n' "$here/run" "$here/log"
    } >"$config"
    # Not by $(...): its processes keep what they write to.
    dovecot -c "$config" </dev/null >"$here/words" 2>&1 3>&- || give_up start "$(cat "$here/words")"
    tries=0
    until [ -S "$here/run/auth-userdb" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || give_up start "$(cat "$here/log")"
        sleep 0.1
    done
fi
libexec=$(doveconf ${config:+-c "$config"} -h libexec_dir 2>/dev/null)
# From the server that runs: as its sessions have it, and in half the time of reading the files.
base=$(doveconf ${config:+-c "$config"} -h base_dir 2>/dev/null)
[ ! -S "$base/config" ] || config=$base/config
for program in imap pop3; do
    [ -x "$libexec/$program" ] || give_up programs "there is no $libexec/$program"
done

# Sends standard input to a program of the server that serves this user.
session() {
    say "begin $1"
    complaints=$(
        # Its input stays open: one that ends makes a program leave before it has said everything.
        # Its output is its own: it makes it non-blocking, and ours would be so for everybody.
        exec 4>&1 9>/proc/self/fd/0
        "$libexec/$2" ${config:+-c "$config"} -u "$user" 2>&4 3>&- 4>&- 9>&- | cat >&3 4>&- 9>&-
    )
    quote "$complaints"
    say "end $1"
}

# One IMAP session: LIST and LSUB, then EXAMINE and FETCH for each folder, and at its end what is given.
mailboxes() {
    last=$1
    say 'begin list'
    complaints=$(
        exec 4>&1
        printf 'L LIST "" "*"\r\nS LSUB "" "*"\r\n' | {
            exec 9>/proc/self/fd/0
            "$libexec/imap" ${config:+-c "$config"} -u "$user" 2>&4 3>&- 4>&- 9>&- | folders >&3 4>&-
        }
    )
    quote "$complaints"
    say 'end folders'
}

# Passes on what IMAP says, and asks (by descriptor 9) for each folder of its LIST, numbered from 0 in
# its order. The name is given back as it came: an atom, a quoted string, or a literal on a line of
# its own.
folders() {
    number=0 commands=
    while IFS= read -r line; do
        printf '%s\n' "$line" || exit 74
        line=${line%"$cr"}
        case $line in
            '* LIST ('*) ;;
            'S '*) break ;;
            *) continue ;;
        esac
        name=${line#*') '}
        name=${name#* }
        case $name in
            '{'*'}')
                length=${name#?}
                IFS= read -r name || break
                printf '%s\n' "$name" || exit 74
                name="{${length%?}+}$crlf${name%"$cr"}"
                ;;
        esac
        case ${line%%')'*} in
            *[Nn]o[Ss]elect* | *[Nn]on[Ee]xistent*) ;;
            *)
                commands="${commands}E$number EXAMINE $name$crlf"
                commands="${commands}F$number UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE)$crlf"
                ;;
        esac
        number=$((number + 1))
    done
    say 'end list'
    say 'begin folders'
    # Beside the reading: neither end waits for the other when pipes are full.
    printf '%s%sZ LOGOUT\r\n' "$commands" "$last" >&9 &
    exec 9>&-
    cat
}

# A large mbox that the user cannot write is opened for reading only: else each would be copied into
# memory whole. The sticky bit marks what was ours. Says whether there was one.
shield() {
    find "$home" "$spool" -xdev -type f -size +2048 -perm -200 ! -perm -1000 ! -name 'dovecot*' \
        -exec chmod u-w,+t {} + -print 2>/dev/null
}
unshield() {
    find "$home" "$spool" -xdev -type f -size +2048 -perm -1000 -exec chmod u+w,-t {} + 2>/dev/null
}

# Whether a third of the memory that may hold copies does.
full() {
    df -Pk "$here" | {
        read -r _
        read -r _ _ used free _
        [ "$used" -gt "$((free / 2))" ]
    }
}

say "start $way"
asked=0
while IFS=$tab read -r number user home spool; do
    # The clock and the memory every few users: each costs as much as a small mailbox.
    if [ "$((asked % 16))" = 0 ]; then
        now=$(date +%s)
        if [ "$way" = aside ] && [ "$asked" -gt 0 ] && full; then
            renew=yes
        fi
    fi
    asked=$((asked + 1))
    say "user $number $now"
    [ "$way" = serving ] || shielded=$(shield)
    printf 'UIDL\r\nLIST\r\nQUIT\r\n' | session pop3 pop3
    if [ "$inbox" = leave ]; then
        mailboxes ''
    elif [ -z "$shielded" ]; then
        mailboxes "I SELECT INBOX$crlf"
    else
        mailboxes ''
        unshield
        # What can be written shows as well on an empty file, and that one need not be copied.
        [ ! -f "$spool" ] || : >"$spool"
        printf 'I SELECT INBOX\r\nZ LOGOUT\r\n' | session inbox imap
    fi
    say "done $number"
    [ -z "$renew" ] || exit 10
done
say 'finished'
