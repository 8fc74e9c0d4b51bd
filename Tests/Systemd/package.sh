#!/bin/bash
# The Debian package under a real systemd: installed, started by its first client, asked by users
# who may and who may not, over TCP with and without a token, as an instance, as a user's own
# daemon, upgraded, purged. Runs as root where process 1 is systemd and dpkg may write (make
# test-package), changes that system, and says "skipped" (77) elsewhere.
#   package.sh PACKAGE.deb MODEL.sluice
set -euo pipefail
package=$1 model=$2
socket=/run/sluice/sluice.sock
scratch=$(mktemp -d)

[ "$(cat /proc/1/comm)" = systemd ] || { echo "skipped: process 1 is not systemd"; exit 77; }
command -v dpkg > /dev/null || { echo "skipped: there is no dpkg"; exit 77; }
fail() { echo "FAILED: $*"; journalctl -u 'sluiced*' --no-pager -n 30 || true; exit 1; }
expect() { # WHAT EXPECTED FOUND
    [ "$2" = "$3" ] || fail "$1: expected '$2', found '$3'"
}
status() { # CURL-ARGUMENT...
    curl -s -m 60 -o "$scratch/answer" -w '%{http_code}' "$@" || true
}
as_user() { # NUMBER GROUP ROUTE
    setpriv --reuid="$1" --regid="$2" --clear-groups \
        curl -s -m 60 -o /dev/null -w '%{http_code}' --unix-socket $socket "http://localhost$3" \
        || true
}

dpkg -i "$package" > "$scratch/log" 2>&1 || fail "not installed: $(cat "$scratch/log")"
id sluice > /dev/null || fail "no user sluice"
id sluice-bridge > /dev/null || fail "no user sluice-bridge"
expect "the socket" active "$(systemctl is-active sluiced.socket || true)"
expect "the socket at boot" enabled "$(systemctl is-enabled sluiced.socket || true)"
expect "the bridge" inactive "$(systemctl is-active sluiced-tcp.socket || true)"
expect "the daemon before anybody asks" inactive "$(systemctl is-active sluiced.service || true)"
expect "the library" "sluice:sluice 750" "$(stat -c '%U:%G %a' /var/lib/sluice/models)"
echo "ok: installed"

install -o sluice -g sluice -m 640 "$model" /var/lib/sluice/models/model.sluice
expect "a question" 200 "$(status --unix-socket $socket http://localhost/v1/completions \
    -d '{"prompt":"What is curl?","max_tokens":4}')"
grep -q '"finish_reason"' "$scratch/answer" || fail "no answer: $(cat "$scratch/answer")"
expect "the daemon" active "$(systemctl is-active sluiced.service || true)"
systemctl status sluiced.service --no-pager | grep -q 'model loaded' || fail "status says no model"
group=$(getent group sluice | cut -d : -f 3)
expect "who is in the group" 200 "$(as_user 4242 "$group" /v1/models)"
expect "who is not" 000 "$(as_user 4242 4242 /v1/models)"
echo "ok: asked"

printf '[access]\nusers = "4242"\n' > /etc/sluice/sluice.toml
systemctl reload sluiced.service || fail "not reloaded"
sleep 1
expect "a user of the list" 200 "$(as_user 4242 "$group" /v1/models)"
expect "another user" 403 "$(as_user 4243 "$group" /v1/models)"
expect "another user's look at its health" 200 "$(as_user 4243 "$group" /health)"
printf '[access]\nusrs = "4242"\n' > "$scratch/broken"
cp /etc/sluice/sluice.toml "$scratch/good"
cp "$scratch/broken" /etc/sluice/sluice.toml
systemctl reload sluiced.service 2> /dev/null && fail "a broken profile was taken over"
cp "$scratch/good" /etc/sluice/sluice.toml
expect "a user after a broken profile" 200 "$(as_user 4242 "$group" /v1/models)"
echo "ok: users are told apart"

# An encrypted model, whose key the service has as a credential: as it is, then encrypted itself.
head -c 32 /dev/urandom > "$scratch/key"
sluice encrypt "$model" "$scratch/secret.sluice" --model-keys "$scratch/key" 2> "$scratch/log" ||
    fail "not encrypted: $(cat "$scratch/log")"
install -o sluice -g sluice -m 640 "$scratch/secret.sluice" /var/lib/sluice/models/
secret='{"model":"secret","prompt":"What is curl?","max_tokens":4,"temperature":0}'
ask_secret() {
    systemctl restart sluiced.service
    status --unix-socket $socket http://localhost/v1/completions -d "$secret"
}
expect "an encrypted model without its key" 500 "$(ask_secret)"
mkdir -p -m 700 /etc/credstore
install -m 600 "$scratch/key" /etc/credstore/sluice-model-keys
expect "an encrypted model" 200 "$(ask_secret)"
rm /etc/credstore/sluice-model-keys
systemd-creds encrypt --with-key=host --name=sluice-model-keys "$scratch/key" \
    "$scratch/keys.cred" 2> "$scratch/log" || fail "no credential: $(cat "$scratch/log")"
install -m 600 "$scratch/keys.cred" /etc/sluice/model-keys.cred
mkdir -p /etc/systemd/system/sluiced.service.d
printf '[Service]\nLoadCredentialEncrypted=sluice-model-keys:%s\n' /etc/sluice/model-keys.cred \
    > /etc/systemd/system/sluiced.service.d/keys.conf
systemctl daemon-reload
expect "an encrypted model with an encrypted key" 200 "$(ask_secret)"
rm -r /etc/systemd/system/sluiced.service.d /etc/sluice/model-keys.cred
rm /var/lib/sluice/models/secret.sluice
systemctl daemon-reload
systemctl restart sluiced.service
echo "ok: encrypted models"

address=http://127.0.0.1:11434
systemctl start sluiced-tcp.socket
expect "TCP without tokens, beside a list" 403 "$(status $address/v1/models)"
token=0123456789abcdef0123456789abcdef
mkdir -p -m 700 /etc/credstore
(umask 077 && printf '# a test\n%s\n' $token > /etc/credstore/sluice-tokens)
systemctl restart sluiced.service
expect "TCP without a token" 401 "$(status $address/v1/models)"
expect "TCP with one" 200 "$(status -H "Authorization: Bearer $token" $address/v1/models)"
expect "another name" 403 \
    "$(status -H "x-api-key: $token" -H 'Host: elsewhere.example' $address/v1/models)"
expect "its health" 200 "$(status $address/health)"
journalctl -u 'sluiced*' --no-pager | grep -q "$token" && fail "the journal has the token"
systemctl stop sluiced-tcp.socket sluiced-tcp.service
echo "ok: TCP, by token"

printf '[memory]\nbudget = "30M"\n' > /etc/sluice/small.toml
systemctl start sluiced@small.socket
expect "an instance" 200 "$(status --unix-socket /run/sluice/small.sock http://localhost/v1/models)"
expect "its unit" active "$(systemctl is-active sluiced@small.service || true)"
systemctl stop sluiced@small.socket sluiced@small.service
rm /etc/sluice/small.toml
echo "ok: an instance"

useradd --create-home visitor
number=$(id -u visitor)
home=$(getent passwd visitor | cut -d : -f 6)
runtime=/run/user/$number
as_visitor() { # COMMAND...
    setpriv --reuid=visitor --regid=visitor --init-groups env HOME=$home \
        XDG_RUNTIME_DIR="$runtime" "$@"
}
systemctl start "user@$number.service"
install -d -o visitor -g visitor $home/.local{,/share{,/sluice{,/models}}} \
    $home/.config{,/sluice}
install -o visitor -g visitor -m 600 "$model" $home/.local/share/sluice/models/mine.sluice
printf '[memory]\nbudget = "31M"\n' > $home/.config/sluice/sluice.toml
as_visitor systemctl --user enable --now sluiced.socket 2> /dev/null || fail "no user's socket"
expect "a user's daemon before anybody asks" inactive \
    "$(as_visitor systemctl --user is-active sluiced.service || true)"
expect "a question of the user's own daemon" 200 "$(as_visitor curl -s -m 60 -o "$scratch/mine" \
    -w '%{http_code}' --unix-socket "$runtime/sluice.sock" http://localhost/v1/completions \
    -d '{"prompt":"What is curl?","max_tokens":4}' || true)"
as_visitor curl -s -m 60 --unix-socket "$runtime/sluice.sock" http://localhost/metrics \
    > "$scratch/metrics"
grep -q '^sluiced_model_loaded{model="mine"} 1' "$scratch/metrics" || fail "not the user's library"
grep -q "^sluiced_memory_limit_bytes $((31 << 20))$" "$scratch/metrics" ||
    fail "not the user's profile"
process=$(as_visitor systemctl --user show -p MainPID --value sluiced.service)
expect "its user" "$number" "$(stat -c %u "/proc/$process")"
expect "another user there" 000 "$(setpriv --reuid=4243 --regid=4243 --clear-groups \
    curl -s -m 60 -o /dev/null -w '%{http_code}' --unix-socket "$runtime/sluice.sock" \
    http://localhost/health || true)"
as_visitor sluice run mine "What is curl?" > "$scratch/answer" || fail "no answer by sluice run"
as_visitor systemctl --user stop sluiced.socket sluiced.service
systemctl stop "user@$number.service"
echo "ok: a user's own daemon"

before=$(systemctl show -p MainPID --value sluiced.service)
dpkg-deb -R "$package" "$scratch/newer"
sed -i 's/^Version: .*/&+newer/' "$scratch/newer/DEBIAN/control"
dpkg-deb -b "$scratch/newer" "$scratch/newer.deb" > /dev/null
dpkg --force-confold -i "$scratch/newer.deb" > "$scratch/log" 2>&1 ||
    fail "not upgraded: $(cat "$scratch/log")"
expect "the profile" "$(cat "$scratch/good")" "$(cat /etc/sluice/sluice.toml)"
expect "the daemon after the upgrade" active "$(systemctl is-active sluiced.service || true)"
[ "$(systemctl show -p MainPID --value sluiced.service)" != "$before" ] ||
    fail "the old program still runs"
expect "a user after the upgrade" 200 "$(as_user 4242 "$group" /v1/models)"
echo "ok: upgraded"

dpkg --purge sluice > "$scratch/log" 2>&1 || fail "not purged: $(cat "$scratch/log")"
for path in /usr/bin/sluiced /usr/lib/systemd/system/sluiced.service /etc/sluice $socket \
    /var/lib/sluice/measurements /etc/systemd/system/sockets.target.wants/sluiced.socket; do
    [ -e "$path" ] && fail "$path is still there"
done
expect "the socket's unit" inactive "$(systemctl is-active sluiced.socket || true)"
[ -e /var/lib/sluice/models/model.sluice ] || fail "the model is gone"
rm -rf /etc/credstore/sluice-tokens "$scratch"
echo "ok: purged, and the models are there"
