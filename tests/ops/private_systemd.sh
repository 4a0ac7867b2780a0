#!/bin/sh
# The inside of a private systemd: run by `private_systemd.py` in namespaces of its own (mounts, processes, cgroups,
# network, names). $1 holds units/, var-lib/, passwd and group; $2 the folder of the interpreter; $3 its first folder
# that others may not enter, if any. Nothing that is mounted here is seen outside, and / itself is read-only, so
# whatever this systemd tries, the machine stays as it is. Its units are those in $1/units alone: there is no
# sysinit.target, no generator, no tmpfiles that could do anything.
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/test /run/python
mount --bind "$1" /run/test
if [ -n "$3" ]; then
    mount --bind "$2" /run/python
    mount -t tmpfs -o mode=755 tmpfs "$3"
    mkdir -p "$2"
    mount --bind /run/python "$2"
fi
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/tmp
mount --bind /run/test/var-lib /var/lib
mount --bind /run/test/passwd /etc/passwd
mount --bind /run/test/group /etc/group
# A /dev with the harmless devices only.
mount -t tmpfs -o mode=755 tmpfs /mnt
for device in null zero full random urandom tty; do
    : >/mnt/$device
    mount --bind /dev/$device /mnt/$device
done
mkdir /mnt/shm /mnt/pts
mount -t tmpfs tmpfs /mnt/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /mnt/pts
ln -s pts/ptmx /mnt/ptmx
mount --rbind /mnt /dev
umount -l /mnt
mount -o remount,bind,ro /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -o remount,bind,ro /
export container=ragd-test PATH=/usr/sbin:/usr/bin:/sbin:/bin
export SYSTEMD_UNIT_PATH=/run/test/units SYSTEMD_GENERATOR_PATH=/none SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/none
exec /usr/lib/systemd/systemd --system --unit=only.target --log-target=null --show-status=no
