#!/bin/bash
# Runs inside a fresh Debian that was booted with its own systemd: install, enrol, hang, upgrade by apt and from the
# county's store, remove, purge.
# One line for each thing that holds; the first that does not ends it.
set -u
collector="runuser -u xiaotong-collector -- xiaotong-collector"

holds() {
    local what=$1
    shift
    if "$@" >/tmp/said 2>&1; then echo "holds: $what"; else
        echo "does not hold: $what: $*"
        cat /tmp/said
        journalctl -n 60 --no-pager -u xiaotong-agent -u xiaotong-collector
        systemctl poweroff --force
        exit 1
    fi
}
soon() { # tries for a minute
    for _ in $(seq 60); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 1
    done
    "$@"
}
absent() { for path in "$@"; do [ ! -e "$path" ] || { echo "$path is there"; return 1; }; done; }
number() { systemctl show -p "$2" --value "$1"; }
restarted() { [ "$(number "$1" NRestarts)" -ge 1 ]; }
at_most() { systemd-analyze security --no-pager "$1" | awk -v most="$2" '/Overall/ {exit !($(NF-2) <= most)}'; }
heard() { $collector agents list --json | grep -q "\"version\": *\"$1\""; }
agents() { $collector agents list --json | grep -o 'sd-00[-0-9]*' | sort -u; }

holds "both packages install by apt" apt-get install -y -q --no-install-recommends /root/first/*.deb
holds "the collector says that it is ready" soon systemctl is-active xiaotong-collector
holds "the agent waits for its enrolment" bash -c '[ "$(systemctl is-active xiaotong-agent)" = inactive ]'
holds "both start at boot" systemctl is-enabled xiaotong-collector xiaotong-agent
holds "the units verify" systemd-analyze verify xiaotong-collector.service xiaotong-agent.service
holds "agent scores at most 1.6" at_most xiaotong-agent 1.6
holds "collector scores at most 1.2" at_most xiaotong-collector 1.2
holds "a secret reaches the service" bash -c 'echo s3cret > /etc/xiaotong/secrets/influxdb
    chmod 0600 /etc/xiaotong/secrets/influxdb && systemctl restart xiaotong-collector &&
    pid=$(systemctl show -p MainPID --value xiaotong-collector) &&
    nsenter -t $pid -m -- runuser -u xiaotong-collector -- \
        cat /run/credentials/xiaotong-collector.service/secrets_influxdb | grep -q s3cret'
stat -c "  that secret: %U %a" /run/credentials/xiaotong-collector.service/secrets_influxdb
# the county's key, before the first agent enrols: it is told of it then
install -o xiaotong-collector -m 0644 /root/packages/packages.pub /var/lib/xiaotong-collector/packages.pub
holds "schools are imported" $collector schools import /usr/share/doc/xiaotong-collector/examples/schools.yaml
code=$($collector agents invite sd-001 --json | grep -o '"code": *"[^"]*"' | cut -d'"' -f4)
holds "an agent enrols" xiaotong-agent enrol --collector http://127.0.0.1:8080 --code "$code"
holds "its token is its user's alone" bash -c '[ "$(stat -c "%U %a" /etc/xiaotong/agent/agent.token)" = "xiaotong-agent 600" ]'
holds "the agent starts" systemctl start xiaotong-agent
holds "the agent is ready" soon systemctl is-active xiaotong-agent
holds "the collector hears it" soon heard 0.1.0
journalctl -u xiaotong-agent --no-pager | grep -iE "not permitted|denied|traceback" | head -5

for unit in agent collector; do
    mkdir -p /run/systemd/system/xiaotong-$unit.service.d
    printf '[Service]\nWatchdogSec=5\nTimeoutAbortSec=5\n' >/run/systemd/system/xiaotong-$unit.service.d/fast.conf
done
systemctl daemon-reload
systemctl restart xiaotong-collector xiaotong-agent
sleep 16
holds "both live past three periods of their watchdogs" bash -c \
    '[ "$(systemctl show -p NRestarts --value xiaotong-agent xiaotong-collector | tr -d "\n")" = 00 ]'
for unit in agent collector; do
    kill -STOP "$(number xiaotong-$unit MainPID)"
    holds "systemd starts a hanging $unit again" soon restarted xiaotong-$unit
done
rm -r /run/systemd/system/xiaotong-*.service.d
systemctl daemon-reload
holds "both run again" soon systemctl is-active xiaotong-collector xiaotong-agent

echo "# ours" >>/etc/xiaotong/collector.yaml
sha256sum /etc/xiaotong/collector.yaml /etc/xiaotong/agent/* /etc/xiaotong/secrets/* >/tmp/before
agents >/tmp/agents
before=$(number xiaotong-agent MainPID)
holds "both upgrade by apt" apt-get install -y -q --no-install-recommends /root/second/*.deb
holds "settings, token and secrets are kept" sha256sum -c /tmp/before
holds "the collector runs the new version" bash -c "xiaotong-collector --version | grep -q 0.1.1"
holds "the agent was started anew" soon bash -c \
    "systemctl is-active xiaotong-agent && [ \$(systemctl show -p MainPID --value xiaotong-agent) != $before ]"
holds "it announced a restart" bash -c "journalctl -u xiaotong-agent --no-pager | grep -q state=restarting"
holds "both run after the upgrade" soon systemctl is-active xiaotong-collector xiaotong-agent
holds "registry and agents are kept" bash -c "[ -s /tmp/agents ] && diff /tmp/agents <($(declare -f agents); collector='$collector'; agents)"
holds "the agent is heard as the new version, without enrolling again" soon heard 0.1.1

# From the county's store: no root, no apt, the hardened unit as it is.
install -d -m 0755 /tmp/packages && install -m 0644 /root/packages/*.package /tmp/packages
for file in /tmp/packages/*.package; do holds "the store takes $(basename "$file")" $collector packages add "$file"; done
holds "the agent learnt the county's key" grep -q "keys: \[\"ed25519:" /etc/xiaotong/agent/agent.yaml
sed -i 's/^\(  keys: .*\)/\1\n  trial: 40s\n  settle: 5s/' /etc/xiaotong/agent/agent.yaml
systemctl restart xiaotong-agent
holds "the agent runs with a short trial" soon systemctl is-active xiaotong-agent
holds "a version is ordered" $collector agents upgrade 0.1.2 --all --now
holds "the agent is heard as the county's version" soon heard 0.1.2
runs_stored() { tr '\0' ' ' <"/proc/$(number xiaotong-agent MainPID)/cmdline" | grep -q /versions/0.1.2/tree; }
holds "systemd's process is that version" runs_stored
done_by_all() { $collector agents upgrade --status | grep -qx "done: 1"; }
holds "it is kept" soon done_by_all
mkdir -p /run/systemd/system/xiaotong-agent.service.d
printf '[Service]\nWatchdogSec=5\n' >/run/systemd/system/xiaotong-agent.service.d/fast.conf
systemctl daemon-reload
systemctl restart xiaotong-agent
sleep 16
holds "it lives past three periods of its watchdog" bash -c \
    '[ "$(systemctl show -p NRestarts --value xiaotong-agent)" = 0 ]'
holds "and is still that version" runs_stored
rm -r /run/systemd/system/xiaotong-agent.service.d
systemctl daemon-reload
systemctl restart xiaotong-agent
holds "one that hangs is ordered" $collector agents upgrade 0.1.3 --all --now
stopped_by_itself() { $collector agents upgrade --status | grep -q "is stopped: sd-001-1 fell back: 0.1.3"; }
soon stopped_by_itself
holds "it is left by itself and the order stops" soon stopped_by_itself
holds "the version before runs again" soon runs_stored
holds "and is heard" soon heard 0.1.2
holds "the agent's doctor says it" bash -c "runuser -u xiaotong-agent -- xiaotong-agent doctor --lang en \
    --config /etc/xiaotong/agent/agent.yaml | grep -q '0.1.2 of the county.s store runs'"

holds "both are removed" apt-get remove -y -q xiaotong-agent xiaotong-collector
holds "programs and processes are gone" absent /opt/xiaotong /usr/bin/xiaotong-agent /usr/bin/xiaotong-collector
holds "nothing runs" bash -c '! pgrep -f ^/opt/xiaotong'
holds "settings and data are kept" test -e /etc/xiaotong/collector.yaml -a -e /etc/xiaotong/agent/agent.token \
    -a -e /var/lib/xiaotong-collector/registry.db -a -e /var/lib/xiaotong-agent
holds "both are purged" apt-get purge -y -q xiaotong-agent xiaotong-collector
holds "nothing is left" absent /etc/xiaotong /var/lib/xiaotong-agent /var/lib/xiaotong-collector /opt/xiaotong \
    /etc/systemd/system/multi-user.target.wants/xiaotong-agent.service
holds "their users are gone" bash -c '! getent passwd xiaotong-agent xiaotong-collector'
holds "nothing at all of them in /etc" bash -c '! find /etc /var/lib/systemd /usr/lib -name "*xiaotong*" | grep .'
echo "all holds"
systemctl poweroff 2>/dev/null
