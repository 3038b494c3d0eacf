#!/bin/sh
# Runs a command as root of private user, mount, pid and network namespaces: `ip netns`, nftables, gobgpd and BIRD work
# without privileges, and when the command ends (or is killed) the kernel takes everything away with it. Where user
# namespaces are not allowed, root does without one. PID 1 is a shell that waits: it reaps the orphans of the command,
# passes SIGTERM on to it, leaves SIGINT to it, and ends with its exit code.
set -eu
user='--user --map-root-user'
unshare $user --net true 2>/dev/null || user=
exec unshare $user --net --mount --pid --fork --kill-child --mount-proc -- sh -c '
  mount -n -t tmpfs -o mode=0755 tmpfs /run
  mkdir -p /run/netns
  ip link set lo up
  # A shell makes what it starts in the background deaf to SIGINT, which a terminal sends to the whole group.
  exec 3<&0
  env --default-signal=INT,QUIT "$@" <&3 3<&- &
  child=$!
  exec 3<&-
  trap "kill -TERM $child" TERM
  trap : INT
  code=0
  wait $child || code=$?
  # A signal ends the wait, not the command.
  while kill -0 $child 2>/dev/null; do
    code=0
    wait $child || code=$?
  done
  exit $code' sandbox "$@"
