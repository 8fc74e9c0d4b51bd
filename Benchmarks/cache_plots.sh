#!/bin/bash
# Draws docs/cache-*.svg from Benchmarks/data/cache.csv. With --measure it first records routing of
# the trained models and replays it: Benchmarks/cache_plots.sh [--measure]
set -euo pipefail
cd "$(dirname "$0")/.."

data=Benchmarks/data/cache.csv
models=../shared/models
lines="belady=optimum (Belady),blend-10+soonest=blend + soonest,lfu-256+soonest=LFU + soonest"
lines+=",blend-10=blend,lru/layer=LRU per layer,slru-50=segmented LRU,lru=LRU"

measure() {
    local scratch programs
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    swift build -c release
    programs=$(swift build -c release --show-bin-path)
    for bits in q4_0 q8_0; do
        "$programs/sluice" eval "$models/shell-moe-$bits.gguf" --library "$scratch" \
            --file "$models/eval-chat.txt" --trace "$scratch/$bits.trace"
    done
    simulate() {
        "$programs/cache-simulator" --csv "$@" \
            "shell-moe-q4_0=$scratch/q4_0.trace" "shell-moe-q8_0=$scratch/q8_0.trace" \
            --zipf 0 --zipf 0.8
    }
    {
        simulate --tokens 6000
        simulate --tokens 4096 --chunk 64 | tail -n +2
    } > "$data"
}

# plot OUT WORKLOAD MODE TITLE
plot() {
    Benchmarks/plot.py "$data" "docs/$1.svg" --x budget_percent --y hit_rate --series policy \
        --where "workload=$2" --where "mode=$3" --title "$4" --y-scale 100 --y-max 100 --x-max 90 \
        --x-label "slots, percent of all experts" --y-label "hits, percent" \
        --only "$lines"
}

if [ "${1:-}" = --measure ]; then measure; fi
plot cache-decode shell-moe-q4_0 decode "Generating: trained mixture of experts"
plot cache-zipf zipf-0.8 decode "Generating: popularity falls as rank to the 0.8"
plot cache-prefill shell-moe-q4_0 prefill-64 "Prompt in chunks of 64: trained mixture of experts"
