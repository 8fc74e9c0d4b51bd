#!/bin/bash
# The main job in one go: a model is imported, a daemon serves it with less memory than its weights
# take, and a streamed answer comes back over a Unix socket. Leaves nothing running and no files.
#
#   scripts/demo.sh [QUESTION]      SLUICE_DEMO_MEMORY=26M sets another budget
#
# The programs must be built (make demo does that); nothing beyond bash, curl and coreutils is used.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

question=${1:-What is curl?}
memory=${SLUICE_DEMO_MEMORY:-25M}
model=Models/shell-moe-q4_0.gguf
programs=$(swift build -c release --show-bin-path)
directory=$(mktemp -d)
socket=$directory/sluice.sock
daemon=

clean_up() {
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" 2>/dev/null || true
    fi
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() {
    echo "demo: $1" >&2
    if [ -s "$directory/daemon.log" ]; then
        tail -n 20 "$directory/daemon.log" >&2
    fi
    exit 1
}

request() {
    curl --silent --show-error --fail-with-body --unix-socket "$socket" "$@"
}

start_daemon() {
    XDG_STATE_HOME="$directory/state" \
        "$programs/sluiced" --memory "$memory" --library "$directory/models" --socket "$socket" \
        >"$directory/daemon.log" 2>&1 &
    daemon=$!
    # Health is 503 while something loads; a daemon that ends instead says why in its log.
    local attempt
    for attempt in {1..300}; do
        kill -0 "$daemon" 2>/dev/null || fail "sluiced ended before it was ready"
        if request --output /dev/null http://localhost/health 2>/dev/null; then
            return
        fi
        sleep 0.1
    done
    fail "sluiced was not ready after 30 seconds"
}

# The number that follows a name in a line of JSON, or nothing.
number() {
    local pattern="\"$2\": *([-+0-9.eE]+)"
    if [[ $1 =~ $pattern ]]; then
        echo "${BASH_REMATCH[1]}"
    fi
}

# Prints each piece of text as it comes; leaves the statistics in a file, because a pipe's end runs
# in a process of its own.
print_answer() {
    local content='"content": *"(([^"\\]|\\.)*)"' line text
    while IFS= read -r line; do
        if [[ $line == *'"error"'* ]]; then
            echo "$line" >&2
            return 1
        fi
        if [[ $line =~ $content ]]; then
            text=${BASH_REMATCH[1]//\\\//\/}
            printf '%b' "${text//\\\"/\"}"
            : >"$directory/answered"
        fi
        if [[ $line == *'"timings"'* || $line == *'"sluice"'* ]]; then
            echo "$line" >>"$directory/statistics"
        fi
    done
    echo
}

mebibytes() {
    awk -v bytes="$1" 'BEGIN { printf "%.1f MiB", bytes / 1048576 }'
}

summarize() {
    local facts speed flash hits peak
    facts=$(tail -n 2 "$directory/statistics" 2>/dev/null | tr -d '\n' || true)
    speed=$(number "$facts" predicted_per_second)
    flash=$(number "$facts" flash_bytes)
    hits=$(number "$facts" bundle_hit_rate)
    peak=$(awk '/^VmHWM:/ { print $2 * 1024 }' "/proc/$daemon/status")
    printf '%s tokens/s, ' "$(awk -v speed="${speed:-0}" 'BEGIN { printf "%.1f", speed }')"
    printf '%s read from flash, ' "$(mebibytes "${flash:-0}")"
    printf '%s cache hits, ' "$(awk -v hits="${hits:-0}" 'BEGIN { printf "%.0f%%", hits * 100 }')"
    printf 'peak memory %s of a %s budget, for %s of weights\n' "$(mebibytes "$peak")" \
        "$(mebibytes "$(numfmt --from=iec "$memory")")" "$(mebibytes "$(stat -c %s "$model")")"
}

echo "Importing $model" >&2
"$programs/sluice" import "$model" --name demo --library "$directory/models"
start_daemon

echo "> $question" >&2
escaped=${question//\\/\\\\}
escaped=${escaped//\"/\\\"}
body='{"model": "demo", "stream": true, "temperature": 0, "max_tokens": 96,
    "stream_options": {"include_usage": true}, "sluice": {"statistics": true},
    "messages": [{"role": "user", "content": "'$escaped'"}]}'
request --no-buffer --header 'Content-Type: application/json' --data "$body" \
    http://localhost/v1/chat/completions | print_answer || fail "the request failed"
[ -e "$directory/answered" ] || fail "no text came back"
summarize
