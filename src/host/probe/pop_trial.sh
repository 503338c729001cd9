#!/bin/sh
# A POP3 session with a configuration file that is not in place yet, on a mailbox made for it. Runs in
# mount, pid, network and ipc namespaces of its own; whatever it writes is in memory and ends with them.
#
# Arguments: the file's path beneath /etc/dovecot (its content is standard input), Dovecot's generation
# (2.3, 2.4), the mailbox's format (mbox, maildir), then UID, UIDVALIDITY and Maildir file name of its
# one message. Exit status: 3 if doveconf refuses the configuration, else that of the session.
set -eu
umask 077
fail() { echo "trial: $*" >&2; exit 1; }
file=$1 version=$2 mailbox=$3 uid=$4 uidvalidity=$5 filename=$6

# A copy of the configuration, with the drop-in, in memory, in the place of the real one: in this
# mount namespace only. So is everything else that Dovecot writes.
mount --make-rprivate / || fail "no mount namespace"
mount -t proc proc /proc || fail "cannot mount /proc"
mount -t tmpfs -o mode=1777 tmpfs /tmp || fail "cannot hide /tmp"
kept=/tmp/trial
mkdir "$kept"
chmod 0711 "$kept"
cp -a /etc/dovecot "$kept/etc"
mkdir -p "$kept/etc/$(dirname "${file#/etc/dovecot/}")"
cat > "$kept/etc/${file#/etc/dovecot/}"
chmod 0644 "$kept/etc/${file#/etc/dovecot/}"
mount --bind "$kept/etc" /etc/dovecot

doveconf -n > /dev/null || exit 3

mkdir "$kept/state" "$kept/home"
chmod 0755 "$kept/state"
# The sockets keep their usual place: 2.3 looks for some of them there whatever base_dir says.
base=$(doveconf -h base_dir)
case $base in
    /run/* | /var/run/*) over=/run; [ -L /var/run ] || over="/run /var/run" ;;
    *) over=$base ;;
esac
for directory in $over; do
    mount -t tmpfs -o mode=0755 tmpfs "$directory" || fail "cannot hide $directory"
done
mkdir -p "$base"
chmod 0755 "$base"
owner=nobody
home=$kept/home
date='Thu, 01 Jan 2026 00:00:00 +0000'
message() { printf 'From: a@example.org\nDate: %s\nSubject: trial\n' "$date"; }
if [ "$mailbox" = maildir ]; then
    mkdir -p "$home/Maildir/cur" "$home/Maildir/new" "$home/Maildir/tmp"
    { message; printf '\ntrial\n'; } > "$home/Maildir/cur/$filename:2,S"
    printf '3 V%s N%s\n%s :%s\n' "$uidvalidity" "$((uid + 1))" "$uid" "$filename:2,S" \
        > "$home/Maildir/dovecot-uidlist"
    old="maildir:$home/Maildir"
    new="$home/Maildir"
    inbox=$new
else
    mkdir "$home/mail"
    { printf 'From a@example.org Thu Jan  1 00:00:00 2026\n'; message
      printf 'X-IMAPbase: %s %010d\nX-UID: %s\nStatus: RO\n\ntrial\n\n' \
          "$uidvalidity" "$uid" "$uid"; } > "$home/inbox"
    old="mbox:$home/mail:INBOX=$home/inbox"
    new="$home/mail"
    inbox=$home/inbox
fi
chown -R "$owner:$(id -gn "$owner")" "$home"

# Values for one protocol beat those for all, so each stands in both places.
both() { printf '%s\nprotocol pop3 {\n%s\n}\n' "$1" "$1"; }
conf=$kept/etc/reconcile-trial.conf
{
    if [ "$version" = 2.4 ]; then
        doveconf -n | grep -E '^dovecot_(config|storage)_version = ' | sort
    fi
    echo '!include /etc/dovecot/dovecot.conf'
    echo 'protocols ='
    echo "state_dir = $kept/state"
    echo 'log_path = /dev/stderr'
    echo 'ssl = no'
    echo 'first_valid_uid = 1'
    echo 'last_valid_uid = 0'
    echo 'first_valid_gid = 1'
    echo 'last_valid_gid = 0'
    if [ "$version" = 2.4 ]; then
        printf 'userdb static {\n  static_allow_all_users = yes\n  fields {\n    uid = %s\n    gid = %s\n    home = %s\n' \
            "$(id -u "$owner")" "$(id -g "$owner")" "$home"
        printf '    mail_driver = %s\n    mail_path = %s\n    mail_inbox_path = %s\n  }\n}\n' \
            "$mailbox" "$new" "$inbox"
        both "mail_driver = $mailbox
mail_path = $new
mail_inbox_path = $inbox
mail_plugins ="
    else
        printf 'userdb {\n  driver = static\n  args = uid=%s gid=%s home=%s mail=%s allow_all_users=yes\n}\n' \
            "$(id -u "$owner")" "$(id -g "$owner")" "$home" "$old"
        both "mail_location = $old
mail_plugins ="
    fi
} > "$conf"
chmod 0644 "$conf"

dovecot -c "$conf" || fail "dovecot does not start"
# Given a file, 2.3 leaves out what is for one protocol (seen on 2.3.13 and 2.3.19): it must ask the
# instance.
from=$conf
[ "$version" = 2.4 ] || from=$base/config
status=0
printf 'UIDL\r\nQUIT\r\n' | doveadm -c "$from" exec pop3 -u reconcile-trial || status=$?
doveadm -c "$conf" stop || true
exit "$status"
