#!/bin/sh
# Makes the accounts of mailboxes.sh on a host with Dovecot 2.4, whose /home and /var/mail are copies.
set -eu
uid=1001
for name in alice bob carol dave erin frank; do
    printf '%s:x:%d:%d::/home/%s:/bin/sh\n' "$name" "$uid" "$uid" "$name" >>/etc/passwd
    printf '%s:x:%d:\n' "$name" "$uid" >>/etc/group
    uid=$((uid + 1))
done
printf '%s' 'bob:x:1002:1002::/home/bob::userdb_mail_driver=maildir userdb_mail_path=~/Maildir ' \
    'userdb_mail_inbox_path=~/Maildir' >/etc/dovecot/maildirs
cat >/etc/dovecot/local.conf <<'END'
ssl = no
END
cat >/etc/dovecot/conf.d/auth-system.conf.ext <<'END'
passdb pam {
}
userdb maildirs {
  driver = passwd-file
  passwd_file_path = /etc/dovecot/maildirs
}
userdb passwd {
}
END
