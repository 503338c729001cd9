#!/bin/sh
# Runs a program on a machine of the tests: `unshare --mount --pid --fork --kill-child --net sh -c THIS
# sh TREE OWN SERVES PROGRAM...`. TREE is a Debian tree, never written; OWN has the machine's etc,
# home and mail; with SERVES `serves` its Dovecot is started before.
set -eu
tree=$1 own=$2 serves=$3
shift 3
mount --make-rprivate /
mount --bind "$tree" "$tree"
mount -o remount,bind,ro "$tree"
mount --bind "$own/etc" "$tree/etc"
mount --bind "$own/home" "$tree/home"
mount --bind "$own/mail" "$tree/var/mail"
for scratch in run tmp var/lib/dovecot var/log; do
    mount -t tmpfs -o mode=1777 tmpfs "$tree/$scratch"
done
chmod 0755 "$tree/run" "$tree/var/lib/dovecot" "$tree/var/log"
mount -t proc proc "$tree/proc"
mount --rbind /dev "$tree/dev"
if [ "$serves" = serves ]; then
    chroot "$tree" /usr/sbin/dovecot </dev/null >/dev/null 2>&1
fi
exec chroot "$tree" /usr/bin/env -i PATH=/etc/first:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"
