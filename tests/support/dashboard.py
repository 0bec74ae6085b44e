"""Checks a Grafana dashboard: its shape, and each panel's queries against a Prometheus.

    dashboard.py FILE URL      every query must be taken and answer with data
"""

import json
import sys
import urllib.parse
import urllib.request

dashboard = json.load(open(sys.argv[1]))
url = sys.argv[2]
bad = 0


def complain(text):
    global bad
    bad += 1
    print(text)


for key in ("uid", "title", "schemaVersion", "panels", "templating", "time"):
    if key not in dashboard:
        complain(f"no {key}")
ids = [panel["id"] for panel in dashboard["panels"]]
if len(ids) != len(set(ids)):
    complain("two panels have one id")
taken = set()
queries = 0
for panel in dashboard["panels"]:
    grid = panel["gridPos"]
    cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
    if grid["x"] + grid["w"] > 24 or cells & taken:
        complain(f"{panel['title']}: lies outside, or over another panel")
    taken |= cells
    for target in panel.get("targets", []):
        queries += 1
        expr = target["expr"].replace("$instance", ".*")
        query = urllib.parse.urlencode({"query": expr})
        with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=10) as answer:
            result = json.load(answer)
        if result["status"] != "success":
            complain(f"{panel['title']}: {expr}: {result}")
        elif not result["data"]["result"]:
            complain(f"{panel['title']}: {expr}: no data")
print(f"{queries} queries of {len(ids)} panels")
sys.exit(bad > 0)
