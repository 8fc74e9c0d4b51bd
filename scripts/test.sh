#!/bin/bash
# Run every Swift test and say little: how far it is, each failure with its text, what was skipped
# and why, and the runner's own last line. The whole output is kept in a file, whose name is said.
#
#   scripts/test.sh [ARGUMENT...]    arguments of `swift test`, such as --filter ComputeTests
#
# Ends as `swift test` does. SLUICE_TEST_LOG=file keeps the output elsewhere than .build/test.log.
# A run that prints nothing for SLUICE_TEST_SILENCE_SECONDS (1500) is a deadlock: it is ended, and
# where it stood is said.
set -uo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

log=${SLUICE_TEST_LOG:-.build/test.log}
silence_seconds=${SLUICE_TEST_SILENCE_SECONDS:-1500}
mkdir -p "$(dirname "$log")"

# Lines of the runner begin with a sign: passed, failed, skipped. What follows a failure's line and
# begins with none is its text. Each test reports at most once a failure's sign as its ending.
summarize() {
    awk '
    function finish_build() {
        if (building) { building = 0; print "built; testing"; fflush() }
    }
    /^\[[0-9]+\/[0-9]+\] / {
        if (++compiled % 50 == 1) {
            building = 1
            sub(/\].*/, "]")
            print "building " $0
            fflush()
        }
        next
    }
    /: error: |^error: / { print; fflush(); next }
    /^◇ Test run started/ { finish_build(); next }
    /^✔ Test run with |^✘ Test run with / { last = $0; next }
    /^✔ Test / {
        in_failure = 0
        if (++passed % 100 == 0) { print passed " tests passed"; fflush() }
        next
    }
    /^✘ (Test|Suite) .* recorded an issue/ { in_failure = 1; print; fflush(); next }
    /^✘ Test .* failed after/ {
        in_failure = 0
        failed[++failures] = $0
        next
    }
    /^➜ (Test|Suite) .* skipped/ {
        in_failure = 0
        sub(/^➜ /, "")
        skipped[++skips] = $0
        next
    }
    /^skipped: / { skipped[++skips] = "in part: " substr($0, 10); next }
    /^(◇|✔|✘|↳|Test Suite |\t Executed)/ {
        if (in_failure && /^↳/) { print "  " $0; fflush() } else { in_failure = 0 }
        next
    }
    in_failure { print "  " $0; fflush() }
    END {
        if (skips) print "skipped:"
        for (i = 1; i <= skips; i++) print "  " skipped[i]
        if (failures) print "failed:"
        for (i = 1; i <= failures; i++) print "  " substr(failed[i], index(failed[i], " ") + 1)
        if (last != "") print last
    }'
}

# A process, all that it started, and what those started.
family() {
    local child
    echo "$1"
    for child in $(pgrep -P "$1"); do family "$child"; done
}

# What processes there are, and where the threads of the one with the tests wait. (The runner says
# that a test began before it gets its turn, so its lines do not tell.)
say_where_it_stands() {
    local process
    for process in "$@"; do
        ps -o pid,stat,etime,args -ww --no-headers -p "$process" | cut -c 1-200
    done
    for process in "$@"; do
        grep -qz '\.xctest$' "/proc/$process/cmdline" 2>/dev/null || continue
        command -v gdb >/dev/null || continue
        timeout 300 gdb -p "$process" -batch -ex 'thread apply all backtrace 25' 2>/dev/null |
            grep -E '^(Thread|#)' | cut -c 1-160
    done
}

# Ends the tests, which the process given has started, when their output stands still.
watch_over() {
    local processes
    while sleep 5; do
        [ $(($(date +%s) - $(stat -c %Y "$log"))) -lt "$silence_seconds" ] && continue
        echo "no output for $silence_seconds s; ended where it stood:"
        # The first line of a family is the oldest: what would wait for the others ends with them.
        mapfile -t processes < <(family "$(pgrep -P "$1" -f -- 'swift[ -]test' | head -n 1)")
        say_where_it_stands "${processes[@]}"
        kill -KILL "${processes[@]}" 2>/dev/null
        return
    done
}

: >"$log"
watch_over $$ &
watch=$!
trap 'kill "$watch" 2>/dev/null' EXIT
swift test -c release --disable-testable-imports "$@" 2>&1 | tee -a "$log" | summarize
status=${PIPESTATUS[0]}
if [ "$status" -ne 0 ] && ! grep -q '^[✔✘] Test run with ' "$log"; then
    echo "the tests did not end; the last lines of their output:"
    tail -n 25 "$log"
fi
echo "whole output: $log"
exit "$status"
