#!/bin/sh
# Install what the tests need from the distribution: only as root, only what is missing.
set -eu
cd "$(dirname "$0")"
[ "$(id -u)" = 0 ] || exit 0
command -v apt-get >/dev/null || exit 0
missing=""
for package in $(grep -v '^#' apt-packages.txt); do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing for the tests:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# What this distribution does not have is skipped by its tests, each with its reason.
available=""
for package in $missing; do
  apt-cache show "$package" >/dev/null 2>&1 && available="$available $package"
done
# Services of these packages are started by the tests, never by the machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod +x "$policy"
fi
# shellcheck disable=SC2086 # the list is meant to be split
apt-get install -y -qq --no-install-recommends $available >/dev/null
