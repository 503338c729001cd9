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
boundary=$1 way=$2 inbox=$3
tab=$(printf '\t') cr=$(printf '\r')
exec 3>&1

# A reader that went away ends us: as process 1 of a world we are never killed by SIGPIPE.
say() { printf '\n%s %s\n' "$boundary" "$*" || exit 74; }
# Words of a program: each line behind the boundary, because they may be anything.
quote() {
    printf '%s\n' "$2" | while IFS= read -r line; do say "$1 $line"; done
}
# The run ends here: REASON, words.
give_up() {
    quote 'words' "$2"
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
[ -x "$libexec/imap" ] && [ -x "$libexec/pop3" ] || give_up programs "no imap or pop3 in $libexec"

# Sends standard input to a program of the server that serves this user.
session() {
    say "begin $1"
    complaints=$("$libexec/$2" ${config:+-c "$config"} -u "$user" 2>&1 >&3)
    status=$?
    quote 'words' "$complaints"
    say "end $1 $status"
}

# EXAMINE and FETCH for each folder of a LIST answer, numbered from 0 in its order. The name is given
# back as it came: an atom, a quoted string, or a literal on a line of its own.
commands() {
    number=0
    printf '%s\n' "$1" | {
        while IFS= read -r line; do
            line=${line%"$cr"}
            case $line in
                '* LIST ('*) ;;
                *) continue ;;
            esac
            rest=${line#*') '}
            name=${rest#* }
            case $name in
                '{'*'}')
                    length=${name#?}
                    IFS= read -r name
                    name=$(printf '{%s+}\r\n%s' "${length%?}" "${name%"$cr"}")
                    ;;
            esac
            case ${line%%')'*} in
                *[Nn]o[Ss]elect* | *[Nn]on[Ee]xistent*) ;;
                *)
                    printf 'E%d EXAMINE %s\r\n' "$number" "$name"
                    printf 'F%d UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE)\r\n' "$number"
                    ;;
            esac
            number=$((number + 1))
        done
        printf 'Z LOGOUT\r\n'
    }
}

# A large mbox that the user cannot write is opened for reading only: else each would be copied into
# memory whole. The sticky bit marks what was ours.
shield() {
    find "$home" "$spool" -xdev -type f -size +2048 -perm -200 ! -perm -1000 ! -name 'dovecot*' \
        -exec chmod u-w,+t {} + 2>/dev/null
}
unshield() {
    find "$home" "$spool" -xdev -type f -size +2048 -perm -1000 -exec chmod u+w,-t {} + 2>/dev/null
}

used() {
    df -Pk "$here" | while read -r _ _ used free _; do
        case $used in
            *[!0-9]*) ;;
            *) [ "$used" -lt "$((free / 3))" ] || echo full ;;
        esac
    done
}

say "start $way"
while IFS=$tab read -r number user home spool; do
    say "user $number $(date +%s)"
    [ "$way" = serving ] || shield
    printf 'UIDL\r\nLIST\r\nQUIT\r\n' | session pop3 pop3
    list=$(printf 'L LIST "" "*"\r\nS LSUB "" "*"\r\nZ LOGOUT\r\n' | session list imap 3>&1)
    printf '%s\n' "$list" || exit 74
    commands "$list" | session folders imap
    if [ "$inbox" = select ]; then
        if [ "$way" = aside ]; then
            unshield
            # What can be written shows as well on an empty file, and that one need not be copied.
            [ ! -f "$spool" ] || : >"$spool"
        fi
        printf 'I SELECT INBOX\r\nZ LOGOUT\r\n' | session inbox imap
    fi
    say "done $number"
    if [ "$way" = aside ] && [ -n "$(used)" ]; then
        exit 10
    fi
done
say 'finished'
