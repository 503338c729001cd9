#!/bin/sh
# Makes users with mailboxes of every kind on this host, through its Dovecot 2.3: run inside a machine
# of the tests, where /etc, /home and /var/mail are its own. Dovecot is stopped afterwards.
set -eu
libexec=$(doveconf -h libexec_dir)

account() { # NAME UID
    mkdir "/home/$1"
    printf '%s:x:%d:%d::/home/%s:/bin/sh\n' "$1" "$2" "$2" "$1" >>/etc/passwd
    printf '%s:x:%d:\n' "$1" "$2" >>/etc/group
    chown "$2:$2" "/home/$1"
}

deliver() { # NAME COUNT: as a delivery agent appends to a spool file
    count=1
    while [ "$count" -le "$2" ]; do
        printf 'From sender@example.org Mon Nov 23 10:%02d:00 2026\n' "$count"
        printf 'From: sender@example.org\nTo: %s@example.org\nSubject: message %d\n' "$1" "$count"
        printf 'Message-ID: <%d.%s@example.org>\n\nbody %d\n\n' "$count" "$1" "$count"
        count=$((count + 1))
    done >>"/var/mail/$1"
    chown "$1:mail" "/var/mail/$1"
    chmod 0660 "/var/mail/$1"
}

imap() { # NAME COMMAND...: waits for each, as clients do
    user=$1
    shift
    {
        for command; do
            printf 'a %s\r\n' "$command"
            sleep 0.05
        done
        printf 'z LOGOUT\r\n'
    } | "$libexec/imap" -u "$user" >/dev/null 2>&1
}

append() { # NAME FOLDER COUNT FLAGS
    count=1
    while [ "$count" -le "$3" ]; do
        text=$(printf 'From: a@example.org\r\nSubject: appended %d\r\n\r\nbody %d\r\n' "$count" "$count")
        printf 'a APPEND "%s" (%s) "01-Feb-2020 03:04:%02d +0200" {%d+}\r\n%s\r\n' \
            "$2" "$4" "$count" "${#text}" "$text"
        count=$((count + 1))
    done | "$libexec/imap" -u "$1" >/dev/null 2>&1
}

account alice 1001 # mbox, folders of every kind
account bob 1002   # Maildir
account carol 1003 # never opened
account dave 1004  # POP3 only
account erin 1005  # no mail at all
account frank 1006 # large mbox, appended to after its last opening

printf 'bob:x:1002:1002::/home/bob::userdb_mail=maildir:~/Maildir\n' >/etc/dovecot/maildirs
cat >/etc/dovecot/local.conf <<'END'
ssl = no
END
cat >/etc/dovecot/conf.d/auth-system.conf.ext <<'END'
passdb {
  driver = pam
}
userdb {
  driver = passwd-file
  args = /etc/dovecot/maildirs
}
userdb {
  driver = passwd
}
END
dovecot

deliver alice 8
imap alice 'CREATE nest/sub' 'CREATE Entw&APw-rfe' 'CREATE Trash' 'CREATE "with \"space\""' \
    'CREATE deep/er/est' 'SUBSCRIBE nest/sub' 'SUBSCRIBE Entw&APw-rfe' 'SUBSCRIBE gone'
append alice nest/sub 3 '\Seen'
append alice 'Entw&APw-rfe' 2 '\Flagged $Forwarded Wichtig'
append alice 'with \"space\"' 2 ''
imap alice 'SELECT INBOX' 'STORE 1:3 +FLAGS (\Seen Wichtig)' 'STORE 2 +FLAGS (\Deleted)' \
    'STORE 4 +FLAGS (\Answered)' 'SELECT nest/sub' 'STORE 2 +FLAGS (\Deleted)' 'EXPUNGE'
# No mailbox, though in the mail directory.
printf 'buy bread\n' >/home/alice/mail/notes
chown alice: /home/alice/mail/notes
append bob INBOX 5 '\Seen'
imap bob 'CREATE Archive.2020' 'CREATE Leer' 'SUBSCRIBE Archive.2020' 'SELECT INBOX' \
    'STORE 2 +FLAGS (Kw1 \Deleted)' 'STORE 3 +FLAGS (Kw2)'
append bob Archive.2020 3 'Kw2'
deliver carol 4
deliver dave 6
printf 'UIDL\r\nQUIT\r\n' | "$libexec/pop3" -u dave >/dev/null 2>&1
deliver frank 40
imap frank 'SELECT INBOX' 'STORE 3:7 +FLAGS (\Seen)'
awk 'BEGIN { for (i = 0; i < 40000; i++) print "a line of a large message that was forwarded to many" }' >/tmp/large
{
    printf 'From sender@example.org Mon Nov 23 11:00:00 2026\nFrom: sender@example.org\nSubject: large\n\n'
    cat /tmp/large
    printf '\n'
} >>/var/mail/frank
doveadm stop
# A UIDVALIDITY of this second would pass for one that was invented by asking.
sleep 2
