#!/bin/sh
# Installs what is missing, and only that: npm packages, and Debian packages through apt (with sudo when not root).
# Usage: setup.sh lab|test
set -eu
cd "$(dirname "$0")/.."
purpose=${1:-lab}

say() { printf 'causeway setup: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

# program=package; libraries by the name of their package.
wanted='nft=nftables ip=iproute2 gobgpd=gobgpd bird=bird2 unshare=util-linux setpriv=util-linux'
# Real DDS participants are compiled for the tests of packages/rtps-wire.
[ "$purpose" = test ] && wanted="$wanted conntrack=conntrack idlc=cyclonedds-tools g++=g++"

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
missing=
for pair in $wanted; do
  command -v "${pair%%=*}" >/dev/null 2>&1 || missing="$missing ${pair#*=}"
done
if [ "$purpose" = test ]; then
  [ -e /usr/include/dds/dds.h ] || missing="$missing cyclonedds-dev"
  [ -e /usr/include/fastdds/dds/domain/DomainParticipant.hpp ] || missing="$missing libfastrtps-dev"
fi
ldconfig -p 2>/dev/null | grep -q 'libnftables\.so\.1' || missing="$missing libnftables1"

if [ -n "$missing" ]; then
  command -v apt-get >/dev/null 2>&1 ||
    fail "these Debian packages are missing:$missing; there is no apt-get here: install their programs and start again"
  sudo=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || fail "these Debian packages are missing:$missing; install them as root and start again"
    sudo=sudo
  fi
  say "installing Debian packages:$missing"
  # The routing daemons run in the lab's own namespaces only: their packages must not start them on this machine.
  policy=/usr/sbin/policy-rc.d
  made=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod 755 "$policy"
    made=yes
  fi
  status=0
  { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null; } || status=$?
  [ -z "$made" ] || $sudo rm -f "$policy"
  [ "$status" -eq 0 ] || fail "apt-get could not install:$missing"
  if command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ]; then
    for package in $missing; do
      case $package in
        bird2) $sudo systemctl disable --quiet bird || true ;;
        gobgpd) $sudo systemctl disable --quiet gobgpd || true ;;
      esac
    done
  fi
fi

stamp=node_modules/.causeway-lock
if ! cmp -s package-lock.json "$stamp" 2>/dev/null; then
  say "installing npm packages"
  npm ci --no-fund --no-audit --loglevel=error >&2
  cp package-lock.json "$stamp"
fi

# Where sources are newer than the compiled code, it is made anew: see scripts/warm-compile-cache.ts.
cache=node_modules/.cache/compile
if [ ! -d "$cache" ] || [ -n "$(find controller proxy frontend node discovery topics shared lab packages/*/src -name '*.ts' -newer "$cache/.warm" 2>/dev/null | head -n 1)" ] || [ ! -e "$cache/.warm" ]; then
  mkdir -p "$cache"
  for node in node_modules/node-linux-*/bin/node; do
    [ -x "$node" ] && NODE_COMPILE_CACHE="$PWD/$cache" "$node" --max-semi-space-size=1 scripts/warm-compile-cache.ts
  done
  touch "$cache/.warm"
fi

if ! unshare --user --map-root-user --net true 2>/dev/null && [ "$(id -u)" -ne 0 ]; then
  fail "this machine lets ordinary users make no user namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns or user.max_user_namespaces): allow them, or run as root"
fi
