#!/usr/bin/env python3
"""Write deploy/grafana/sluice.json, a dashboard of what /metrics has: scripts/grafana_dashboard.py

Panels are listed below as title, unit, what it says, and expressions; the rest is the same for all.
Tests/Grafana/dashboard_test.py holds it to what the daemon really counts.
"""

import json
import pathlib

OUT = pathlib.Path(__file__).resolve().parent.parent / "deploy/grafana/sluice.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, COLUMNS = 24, 3
# SELECTED stands for the instances chosen above the dashboard, OVER for a time that fits its scale.
SELECTED, OVER = '{instance=~"$instance"}', "[$__rate_interval]"


def rate(name):
    return f"rate(sluiced_{name}{SELECTED}{OVER})"


def total(name):
    return f"sum({rate(name)})"


def quantiles(name):
    buckets = f"sum by (le) ({rate(name + '_bucket')})"
    return [(f"histogram_quantile({share}, {buckets})", label)
            for share, label in ((0.5, "median"), (0.9, "90 %"), (0.99, "99 %"))]


def gauge(name):
    return f"sluiced_{name}{SELECTED}"


ENDED = "Counted when an answer ends."
# Title, unit, description, expressions with their legends, how they are drawn.
PANELS = [
    ("Now", [
        ("Models loaded", "none", "", [(gauge("model_loaded"), "{{instance}} {{model}}")], "stat"),
        ("Generations", "none", "Begun with, waiting, and without their KV pages for now.", [
            (f"sum({gauge('generations_running')})", "running"),
            (f"sum({gauge('generations_waiting')})", "waiting"),
            (f"sum({gauge('generations_suspended')})", "suspended")], "stat"),
        ("Pressure", "none", "1: memory is given back. 2: requests are refused for want of it.",
         [(gauge("memory_pressure_step"), "{{instance}}")], "stat"),
    ]),
    ("Requests", [
        ("Requests", "reqps", "Answered, by status.",
         [(f"sum by (status) ({rate('requests_total')})", "{{status}}")], "stacked"),
        ("By route", "reqps", "",
         [(f"sum by (route) ({rate('requests_total')})", "{{route}}")], "stacked"),
        ("Errors", "reqps", "Statuses from 400; refusals ask to come back later.", [
            ("sum(rate(sluiced_requests_total{instance=~\"$instance\",status=~\"4..\"}"
             f"{OVER})) or vector(0)", "4xx"),
            ("sum(rate(sluiced_requests_total{instance=~\"$instance\",status=~\"5..\"}"
             f"{OVER})) or vector(0)", "5xx"),
            (total("refused_total"), "refused"),
            (total("disconnected_total"), "client left")], "lines"),
        ("How requests ended", "reqps",
         "stop and length are whole answers; the rest errors, those in streams included.",
         [(f"sum by (outcome) ({rate('outcomes_total')})", "{{outcome}}")], "stacked"),
        ("Queue", "none", "", [
            (f"sum({gauge('generations_running')})", "running"),
            (f"sum({gauge('generations_waiting')})", "waiting"),
            (f"sum({gauge('generations_suspended')})", "suspended"),
            (f"sum({gauge('connections')})", "connections")], "lines"),
        ("Waiting", "s", "Seconds of waiting in a second: how many wait on average. " + ENDED,
         [(total("queue_seconds_total"), "waiting")], "lines"),
    ]),
    ("Speed", [
        ("Tokens", "none", "Tokens a second of all clients. " + ENDED, [
            (total("prompt_tokens_total"), "of prompts"),
            (total("cached_tokens_total"), "of those, found again"),
            (total("generated_tokens_total"), "of answers")], "lines"),
        ("Speed of prompts", "none", "Tokens for each second of work on them. " + ENDED, [
            (f"({total('prompt_tokens_total')} - {total('cached_tokens_total')})"
             f" / {total('prompt_seconds_total')}", "tokens/s")], "lines"),
        ("Speed of answers", "none", "Tokens for each second of one answer. " + ENDED, [
            (f"{total('generated_tokens_total')} / {total('generate_seconds_total')}",
             "tokens/s")], "lines"),
        ("Time to the first token", "s", "", quantiles("time_to_first_token_seconds"), "lines"),
        ("Time between tokens", "s", "Pieces of text, as clients get them.",
         quantiles("inter_token_seconds"), "lines"),
        ("Guesses that were right", "percentunit", "Of tokens that were guessed. " + ENDED, [
            (f"{total('accepted_tokens_total')} / {total('drafted_tokens_total')}", "right")],
         "lines"),
    ]),
    ("Memory", [
        ("Budget", "bytes", "What is held, by purpose, under the limit.", [
            (f"sum by (term) ({gauge('memory_bytes')})", "{{term}}"),
            (f"sum({gauge('memory_limit_bytes')})", "limit")], "stacked"),
        ("KV pages", "none", "Of loaded models, and those that generations may count on.", [
            (f"sum({gauge('kv_pages')})", "all"),
            (f"sum({gauge('kv_pages_promised')})", "promised"),
            (total("suspensions_total"), "suspensions a second")], "lines"),
        ("Contexts", "none", "Tokens, of each loaded model.",
         [(gauge("context_tokens"), "{{instance}} {{model}}")], "lines"),
    ]),
    ("Flash", [
        ("Reading", "Bps", "Weights. " + ENDED, [(total("flash_bytes_total"), "read")], "lines"),
        ("For each token", "bytes", "Weights read for each token of an answer. " + ENDED, [
            (f"{total('flash_bytes_total')} / {total('generated_tokens_total')}", "read")],
         "lines"),
        ("Found in memory", "percentunit", "Experts and neurons; tokens of prompts. " + ENDED, [
            (f"{total('bundle_hits_total')} / ({total('bundle_hits_total')} + "
             f"{total('bundle_misses_total')})", "experts, neurons"),
            (f"{total('cached_tokens_total')} / {total('prompt_tokens_total')}", "prompts")],
         "lines"),
    ]),
]


def targets(expressions):
    return [{"datasource": SOURCE, "editorMode": "code", "expr": expression, "legendFormat": legend,
             "range": True, "refId": chr(ord("A") + index)}
            for index, (expression, legend) in enumerate(expressions)]


def panel(title, unit, description, expressions, look):
    drawn = {
        "title": title, "description": description, "datasource": SOURCE,
        "type": "stat" if look == "stat" else "timeseries", "targets": targets(expressions),
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []}}
    if look == "stat":
        drawn["options"] = {
            "colorMode": "none", "textMode": "value_and_name",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
        return drawn
    drawn["options"] = {"legend": {"displayMode": "list", "placement": "bottom"},
                        "tooltip": {"mode": "multi", "sort": "desc"}}
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 0}
    if look == "stacked":
        custom |= {"fillOpacity": 30, "stacking": {"mode": "normal", "group": "A"}}
        drawn["fieldConfig"]["overrides"] = [{
            "matcher": {"id": "byName", "options": "limit"},
            "properties": [
                {"id": "custom.stacking", "value": {"mode": "none"}},
                {"id": "custom.fillOpacity", "value": 0}]}]
    drawn["fieldConfig"]["defaults"]["custom"] = custom
    return drawn


def placed():
    """All panels in rows under their headings, each with a number and a place."""
    number, top = 0, 0
    for heading, panels in PANELS:
        number += 1
        yield {"type": "row", "title": heading, "id": number, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}}
        top += 1
        height = 4 if heading == "Now" else 8
        for index, entry in enumerate(panels):
            number += 1
            column, width = index % COLUMNS, WIDTH // COLUMNS
            yield panel(*entry) | {"id": number, "gridPos": {
                "x": column * width, "y": top + index // COLUMNS * height,
                "w": width, "h": height}}
        top += -(-len(panels) // COLUMNS) * height


def dashboard():
    variables = [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {"name": "instance", "label": "Instance", "type": "query", "datasource": SOURCE,
         "query": {"query": "label_values(sluiced_info, instance)", "refId": "A"}, "refresh": 2,
         "multi": True, "includeAll": True, "allValue": ".*",
         "current": {"text": "All", "value": "$__all"}}]
    return {
        "uid": "sluice", "title": "Sluice", "tags": ["sluice"], "schemaVersion": 39, "version": 1,
        "editable": True, "refresh": "10s", "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables}, "annotations": {"list": []}, "panels": list(placed())}


def main():
    OUT.parent.mkdir(parents=True, exist_ok=True)
    written = dashboard()
    panels = ",\n".join("  " + json.dumps(entry) for entry in written.pop("panels"))
    rest = json.dumps(written, indent=1).removesuffix("\n}")
    OUT.write_text(f'{rest},\n "panels": [\n{panels}\n ]\n}}\n')
    print(OUT)


if __name__ == "__main__":
    main()
