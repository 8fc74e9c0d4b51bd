#!/bin/bash
# Run a command in a container of Debian's where process 1 is systemd, and throw the container away.
#
#   scripts/with-systemd.sh [FILE...] -- COMMAND [ARGUMENT...]
#
# The files are in the command's folder, /opt/test; its exit status is this script's. The container
# is a copy of .build/systemd-root, which mmdebstrap makes once (240 MB, a minute) of what apt has
# here; it has no network but its own loopback. Needs root, systemd-nspawn and mmdebstrap: without
# them it says "skipped", and why, and ends with 77.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
cached=$here/.build/systemd-root
packages=systemd,systemd-sysv,dbus,libpam-systemd,curl,ca-certificates,liburing2,libstdc++6
packages+=,libzstd1,procps,python3
name=sluice-test-$$
log=
work=
leader=
machine=

skip() { echo "skipped: $*"; exit 77; }

files=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do files+=("$1"); shift; done
[ $# -gt 1 ] || { sed -n 's/^#   //p' "$0" >&2; exit 64; }
shift
[ "$(id -u)" -eq 0 ] || skip "containers are for root to make: sudo make ..."
command -v systemd-nspawn > /dev/null || skip "apt-get install systemd-container"
[ "$(cat "$cached.packages" 2> /dev/null)" = "$packages" ] || rm -rf "$cached"
[ -d "$cached" ] || command -v mmdebstrap > /dev/null || skip "apt-get install mmdebstrap"

# What Debian's own sources are here; mmdebstrap knows where else to look.
make_root() {
    local suite sources
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
    sources=$(ls /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2> /dev/null |
        head -n 1 || true)
    mkdir -p "$here/.build"
    rm -rf "$cached.part"
    echo "Making a root of Debian's $suite" >&2
    mmdebstrap --quiet --variant=minbase --include="$packages" "$suite" "$cached.part" \
        ${sources:+"$sources"} >&2
    mv "$cached.part" "$cached"
    echo "$packages" > "$cached.packages"
}

# Where this system has no systemd and version 1 of control groups, the container gets groups of its
# own, and systemd in it may divide them: limits are enforced as they would be.
controllers=()
if [ ! -d /run/systemd/system ] && [ -d /sys/fs/cgroup/memory ]; then
    for folder in /sys/fs/cgroup/*/; do controllers+=("$(basename "$folder")"); done
fi

enter_groups() {
    local controller set=/sys/fs/cgroup/cpuset
    for controller in "${controllers[@]}"; do mkdir -p "/sys/fs/cgroup/$controller/$name"; done
    for file in cpus mems; do cat "$set/cpuset.$file" > "$set/$name/cpuset.$file"; done
    echo 1 > "$set/$name/cgroup.clone_children"
    for controller in "${controllers[@]}"; do
        echo "$BASHPID" > "/sys/fs/cgroup/$controller/$name/cgroup.procs"
    done
}

divide_groups() {
    local controller
    for controller in memory cpu blkio pids devices; do
        nsenter -t "$leader" -m mount -o remount,rw,bind "/sys/fs/cgroup/$controller"
    done
    nsenter -t "$leader" -m -p -C systemctl daemon-reexec
}

finish() {
    local status=$? controller
    set +e
    [ -z "$leader" ] || kill -s RTMIN+4 "$leader" 2> /dev/null # Power off.
    for _ in {1..100}; do
        [ -n "$machine" ] && kill -0 "$machine" 2> /dev/null || break
        sleep 0.1
    done
    [ -z "$leader" ] || kill -9 "$leader" 2> /dev/null
    [ -z "$machine" ] || wait "$machine" 2> /dev/null
    for controller in "${controllers[@]}"; do
        [ -d "/sys/fs/cgroup/$controller/$name" ] || continue
        find "/sys/fs/cgroup/$controller/$name" -depth -type d -exec rmdir {} \; 2> /dev/null
    done
    rm -rf "/run/systemd/nspawn/propagate/$name"
    [ -z "$work" ] || rm -rf --one-file-system "$work" "$log"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

[ -d "$cached" ] || make_root
# On a drive and not in memory: tests slow it down.
work=$(mktemp -d /var/tmp/$name.XXXXXX)
log=$work.log
chmod 755 "$work"
cp -a --reflink=auto "$cached/." "$work/"
: > "$work/etc/machine-id"
echo sluice-test > "$work/etc/hostname"
for unit in systemd-{networkd,resolved,timesyncd,firstboot}.service apt-daily{,-upgrade}.timer \
    dpkg-db-backup.timer e2scrub_all.timer console-getty.service getty@tty1.service; do
    ln -sfn /dev/null "$work/etc/systemd/system/$unit"
done
mkdir -p "$work/opt/test"
[ ${#files[@]} -eq 0 ] || cp -rL "${files[@]}" "$work/opt/test/"

(
    [ ${#controllers[@]} -eq 0 ] || enter_groups
    exec systemd-nspawn --quiet --directory="$work" --boot --register=no --keep-unit \
        --private-network --console=pipe --machine="$name" systemd.log_target=journal \
        < /dev/null > "$log" 2>&1
) &
machine=$!
up=
for _ in {1..1200}; do
    leader=$(pgrep -P "$machine" -x systemd || true)
    state=$([ -z "$leader" ] || nsenter -t "$leader" -m -p -C systemctl is-system-running \
        2> /dev/null || true)
    case $state in running | degraded) up=1; break ;; esac
    kill -0 "$machine" 2> /dev/null || break
    sleep 0.05
done
[ -n "$up" ] || { echo "systemd did not start:" >&2; tail -n 5 "$log" >&2; exit 69; }
[ ${#controllers[@]} -eq 0 ] || divide_groups
# Waited for, so that a signal ends this script at once and the container with it.
status=0
nsenter -t "$leader" -m -u -i -n -p -C env -i \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    sh -c 'cd /opt/test && exec "$@"' sh "$@" <&0 &
wait $! || status=$?
exit "$status"
