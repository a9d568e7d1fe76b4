#!/bin/sh
# Installs one of the two programs from its wheel, where there is no package for the system:
#   sudo deploy/install.sh agent dist/xiaotong-0.1.0-py3-none-any.whl [FOLDER OF WHEELS]
# Needs Python 3.11 to 3.13 with venv (set PYTHON for another than python3) and, for the unit, systemd. With a
# folder of wheels (pip download --no-deps -r agent.txt -d FOLDER, on any machine like this one) it needs no internet.
# Running it again upgrades: settings, token and data are left as they are.
set -eu

fail() {
    echo "error: $*" >&2
    exit 2
}

[ $# -ge 2 ] && [ $# -le 3 ] || fail "usage: install.sh agent|collector WHEEL [FOLDER OF WHEELS]"
program=$1 wheel=$2 wheels=${3:-}
case $program in agent | collector) ;; *) fail "$program: allowed is agent or collector" ;; esac
[ -f "$wheel" ] || fail "$wheel: no such file"
[ -z "$wheels" ] || [ -d "$wheels" ] || fail "$wheels: no such folder"
[ "$(id -u)" = 0 ] || fail "needs root: sudo $0 $*"
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    fail "$python is not Python 3.11 to 3.13: name one in PYTHON, or take the bundle (docs/install.md)"
here=$(cd "$(dirname "$0")" && pwd)
lock=$here/locks/$program.txt
unit=xiaotong-$program.service
home=/opt/xiaotong/$program
new=$home.new
[ -f "$lock" ] || fail "$lock: is missing; take the whole folder deploy with the wheel"

rm -rf "$new"
mkdir -p /opt/xiaotong
"$python" -m venv "$new" || fail "$python has no venv: install python3-venv"
set -- --quiet --disable-pip-version-check --no-compile
[ -z "$wheels" ] || set -- "$@" --no-index --find-links "$wheels"
"$new/bin/python3" -m pip install "$@" --only-binary :all: --no-deps --require-hashes -r "$lock"
"$new/bin/python3" -m pip install "$@" --no-deps "$wheel"
printf '#!%s/bin/python3 -I\nfrom %s.main import main\n\nmain()\n' "$home" "$program" >"$new/bin/xiaotong-$program"
chmod 0755 "$new/bin/xiaotong-$program"
"$new/bin/python3" -m compileall -q "$new/lib" || true
"$new/bin/python3" -I -c "from $program.main import main" || fail "the new environment does not run; the old one is untouched"

# From here on nothing is fetched, so nothing is left half.
rm -rf "$home.old"
[ ! -d "$home" ] || mv "$home" "$home.old"
mv "$new" "$home"
ln -sf "$home/bin/xiaotong-$program" "/usr/local/bin/xiaotong-$program"
rm -rf "$home.old"

user=xiaotong-$program
if ! id "$user" >/dev/null 2>&1; then
    useradd --system --user-group --home-dir "/var/lib/$user" --no-create-home --shell /usr/sbin/nologin "$user"
fi
install -d -m 0755 /etc/xiaotong
install -d -m 0700 -o "$user" -g "$user" "/var/lib/$user"
if [ "$program" = agent ]; then
    install -d -m 0750 -o "$user" -g "$user" /etc/xiaotong/agent
else
    install -d -m 0700 /etc/xiaotong/secrets
    [ -e /etc/xiaotong/collector.yaml ] ||
        install -m 0644 "$here/debian/collector/collector.yaml" /etc/xiaotong/collector.yaml
fi
install -d -m 0755 /etc/systemd/system
install -m 0644 "$here/systemd/$unit" "/etc/systemd/system/$unit"
if command -v systemctl >/dev/null; then
    systemctl enable --quiet "$unit"
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl restart "$unit"
else
    echo "no systemd runs here: start $home/bin/xiaotong-$program by what does"
fi
"/usr/local/bin/xiaotong-$program" --version
[ "$program" = collector ] || [ -e /etc/xiaotong/agent/agent.yaml ] ||
    echo "now: xiaotong-agent enrol --collector URL, then systemctl start xiaotong-agent"
