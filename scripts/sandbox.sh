#!/bin/sh
# Runs a command as root of private user, mount, pid and network namespaces: `ip netns`, nftables, gobgpd and BIRD work
# without privileges, and when the command ends (or is killed) the kernel takes everything away with it. Where user
# namespaces are not allowed, root does without one.
set -eu
user='--user --map-root-user'
unshare $user --net true 2>/dev/null || user=
exec unshare $user --net --mount --pid --fork --kill-child --mount-proc -- sh -c '
  mount -t tmpfs -o mode=0755 tmpfs /run
  mkdir -p /run/netns
  ip link set lo up
  exec "$@"' sandbox "$@"
