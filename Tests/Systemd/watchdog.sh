#!/bin/bash
# What the service manager sees of a daemon that is stuck, and of a drive that is slow. Runs as root
# where process 1 is systemd (a virtual machine, or systemd-nspawn --boot) and says "skipped" (77)
# elsewhere.
#   watchdog.sh SLUICED MODEL.sluice
# 1. A drive that brings nothing for twice the watchdog's time, but less than read_seconds_max: the
#    request is answered and nothing is restarted.
# 2. A drive that brings nothing for longer: the request fails with a line that says so, and an idle
#    daemon stops at once.
# 3. An engine thread that is stopped while it has work: the watchdog restarts the daemon.
set -euo pipefail
sluiced=$1 model=$2
here=$(dirname "$0")
unit=sluice-watchdog-test
folder=/var/lib/$unit
socket=$folder/socket

[ "$(cat /proc/1/comm)" = systemd ] || { echo "skipped: process 1 is not systemd"; exit 77; }
fail() { echo "FAILED: $*"; journalctl -u $unit --no-pager -n 20 || true; exit 1; }
property() { systemctl show $unit -p "$1" --value; }
ask() { # SECONDS TOKENS
    curl -s -m "$1" --unix-socket $socket http://localhost/v1/completions -d \
        '{"prompt":"What is curl?","temperature":9,"top_k":0,"top_p":1,"min_p":0,
        "max_tokens":'"$2"'}'
}
throttle() { systemctl set-property --runtime $unit IOReadBandwidthMax="$1"; }
wait_ready() {
    for _ in $(seq 100); do
        curl -s --unix-socket $socket http://localhost/health > /dev/null && return
        sleep .1
    done
    fail "the daemon is not ready"
}
cleanup() {
    kill $(jobs -p) 2> /dev/null || true
    systemctl stop $unit 2> /dev/null || true
    rm -rf "/run/systemd/system/$unit.service" "$folder"
    systemctl daemon-reload
}
trap cleanup EXIT

mkdir -p $folder/models
cp "$model" $folder/models/model.sluice
printf '[flash]\nread_seconds_max = 20\n' > $folder/profile.toml
cat > /run/systemd/system/$unit.service << UNIT
[Service]
Type=notify
ExecStart=$sluiced --memory 25M --library $folder/models --socket $socket \\
    --profile $folder/profile.toml
Environment=XDG_STATE_HOME=$folder
WatchdogSec=6
Restart=on-failure
RestartSec=1
TimeoutStopSec=60
IOAccounting=yes
UNIT
systemctl daemon-reload
systemctl start $unit
wait_ready
ask 30 8 > /dev/null || fail "no answer"

throttle "$folder 1"
start=$SECONDS
ask 60 64 > $folder/answer & asking=$!
sleep 12
throttle ""
wait $asking || fail "a slow drive ended the request"
grep -q '"finish_reason"' $folder/answer || fail "a slow drive gave: $(cat $folder/answer)"
[ "$(property NRestarts)" = 0 ] || fail "a slow drive restarted the daemon"
echo "ok: a drive that stood still for 12 s cost $((SECONDS - start)) s and no restart"

throttle "$folder 1"
ask 60 64 > $folder/answer || fail "no answer from a broken drive"
grep -q 'has not answered for 20' $folder/answer ||
    fail "a broken drive gave: $(cat $folder/answer)"
[ "$(property NRestarts)" = 0 ] || fail "a broken drive restarted the daemon"
start=$(date +%s%N)
systemctl stop $unit
took=$((($(date +%s%N) - start) / 1000000))
[ $took -lt 5000 ] || fail "stopping an idle daemon with a broken drive took $took ms"
echo "ok: a broken drive was reported, and stopping took $took ms"

throttle ""
systemctl start $unit
wait_ready
for _ in $(seq 20); do ask 100 400 > /dev/null & done
sleep 1
python3 "$here/stop_thread.py" "$(property MainPID)" sluice-engine & stopping=$!
start=$SECONDS
until [ "$(property NRestarts)" != 0 ]; do
    [ $((SECONDS - start)) -lt 60 ] || fail "a stopped engine thread was not noticed"
    sleep .2
done
echo "ok: a stopped engine thread restarted the daemon after $((SECONDS - start)) s"
kill $stopping 2> /dev/null || true
wait_ready
ask 30 8 | grep -q '"finish_reason"' || fail "no answer after the restart"
echo "ok: it answers again"
