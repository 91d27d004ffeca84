#!/bin/sh
# Print what a host has: debian, kernel if its kernel has an NFS server or a module of it, and parent if the folder can be created.
# usage: inspect.sh FOLDER
! [ -e /etc/debian_version ] || echo debian
! { grep -qw nfsd /proc/filesystems || modprobe --dry-run --quiet nfsd; } || echo kernel
! [ -d "$(dirname "$1")" ] || echo parent
