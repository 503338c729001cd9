#!/bin/sh
# Makes a world of our own and reads the mailboxes in it: every file system of this host is covered
# by an overlay whose upper layer is in memory, so that nothing that is written there reaches a disk.
# Run as process 1 of new mount and pid namespaces, so that all of it ends with it:
# `sh -c THIS sh READ BOUNDARY INBOX`.
read=$1 boundary=$2 inbox=$3

give_up() {
    printf '\n%s words %s\n\n%s failed cover\n' "$boundary" "$1" "$boundary"
    exit 0
}

# /sys exists everywhere, nobody's mail is there, and nothing here needs what it shows.
mount --make-rprivate / || give_up 'the mounts of this namespace cannot be made private'
mount -t tmpfs -o mode=0755 reconcile /sys || give_up 'no tmpfs can be mounted'
mkdir /sys/lower /sys/upper /sys/work /sys/root || give_up 'the tmpfs cannot be written'

cover() {
    count=$((count + 1))
    upper=/sys/upper/$count work=/sys/work/$count lower=/sys/lower/$count
    mkdir "$upper" "$work" "$lower"
    # By an alias: the path itself may hold characters that mean something in mount options.
    mount --bind "$1" "$lower" || return 1
    chmod --reference="$lower" "$upper"
    chown --reference="$lower" "$upper"
    layers=lowerdir=$lower,upperdir=$upper,workdir=$work
    # With metacopy a change of mode copies no content; kernels before 4.19 do not know it.
    mount -t overlay -o "$layers,metacopy=on" reconcile "/sys/root$2" 2>/dev/null ||
        mount -t overlay -o "$layers" reconcile "/sys/root$2"
}

frozen() {
    mount --bind "$1" "/sys/root$1" && mount -o remount,bind,ro "/sys/root$1"
}

count=0
words=$(cover / '' 2>&1) || give_up "$words"
count=1
while read -r _ _ _ _ at _ rest; do
    fstype=${rest#*- }
    fstype=${fstype%% *}
    case $at in
        / | /proc | /proc/* | /sys | /sys/* | /dev | /dev/* | /run | /run/*) continue ;;
    esac
    case $fstype in
        autofs | proc | sysfs | cgroup* | nsfs | rpc_pipefs | binfmt_misc) continue ;;
    esac
    # Octal escapes are the only ones, and a printf format knows them.
    # shellcheck disable=SC2059
    case $at in
        *\\*) at=$(printf "$(printf '%s' "$at" | sed 's/%/%%/g')") ;;
    esac
    if [ -d "$at" ] && cover "$at" "$at" 2>/dev/null; then
        continue
    fi
    # What cannot be covered can be read, and not written.
    frozen "$at" || give_up "$at cannot be covered"
done </proc/self/mountinfo 2>/dev/null

rest() {
    mount -t proc proc /sys/root/proc &&
        mount --rbind /dev /sys/root/dev &&
        frozen /run &&
        mkdir /sys/own /sys/root/.reconcile &&
        mount --bind /sys/own /sys/root/.reconcile
}
words=$(rest 2>&1) || give_up "$words"
exec chroot /sys/root /bin/sh -c "$read" sh "$boundary" aside "$inbox"
