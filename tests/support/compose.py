"""Checks deploy/container without an image registry: compose file, container files and what they mount agree with each
other and with the tree. Says what does not.

    compose.py TOP
"""

import json
import os
import re
import sys

import yaml

top = sys.argv[1]
here = os.path.join(top, "deploy/container")
bad = 0


def want(condition, text):
    global bad
    if not condition:
        bad += 1
        print(text)


def load(name):
    with open(os.path.join(here, name)) as file:
        return yaml.safe_load(file)


def container_file(path, context):
    """Known instructions, sources that exist, stages that were begun, sets that install-deps knows."""
    text = re.sub(r"\\\n", " ", open(path).read())
    sets = set(re.findall(r"^    ([a-z]+)\) echo", open(os.path.join(top, "deploy/install-deps")).read(), re.M))
    stages = set()
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        want(words[0] in {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "STOPSIGNAL", "ENTRYPOINT", "CMD"}, line)
        if words[0] == "FROM":
            want(re.fullmatch(r"([a-z]+/)?[a-z]+:[\w.-]+", words[1]), f"an image with its tag: {line}")
            stages.update(words[3:4])
        elif words[0] == "COPY" and words[1].startswith("--from="):
            want(words[1][7:] in stages, line)
        elif words[0] == "COPY":
            want(all(os.path.exists(os.path.join(context, word)) for word in words[1:-1]), line)
        for name in re.findall(r"install-deps ([a-z]+)", line):
            want(words[0] == "COPY" or name in sets, line)
        if words[0] in ("ENTRYPOINT", "CMD"):
            want(isinstance(json.loads(line.split(None, 1)[1]), list), line)


compose = load("compose.yaml")
services = compose["services"]
mounts = {}
for name, service in services.items():
    if "build" in service:
        context = os.path.normpath(os.path.join(here, service["build"]["context"]))
        container_file(os.path.join(context, service["build"]["dockerfile"]), context)
    else:
        want(re.fullmatch(r"([a-z]+/)?[a-z]+:[\w.-]+", service["image"]), f"{name}: {service['image']}")
    for other in service.get("depends_on", {}):
        want(other in services, f"{name} depends on {other}")
    for port in service.get("ports", []):
        want(port.startswith("127.0.0.1:"), f"{name}: {port} is open to everybody")
    for volume in service.get("volumes", []):
        source, inside = volume.split(":")[:2]
        if source.startswith("."):
            want(os.path.isfile(os.path.join(here, source)), f"{name}: no {source}")
        else:
            want(source in compose["volumes"], f"{name}: no volume {source}")
        mounts[name, inside] = os.path.normpath(os.path.join(here, source))

# The engine finds both servers, Prometheus the engine, Grafana Prometheus and the dashboard.
settings = load("pgrekey.yaml")
want(mounts.get(("pgrekey", "/etc/pgrekey/pgrekey.yaml")) == os.path.join(here, "pgrekey.yaml"), "no settings")
want(mounts.get(("pgrekey", "/etc/pgrekey/" + settings["mapping"])), "no mapping")
for side in ("source", "target"):
    dsn = dict(word.split("=") for word in settings[side]["dsn"].split())
    server = services[dsn["host"]]
    want(server["environment"]["POSTGRES_DB"] == dsn["dbname"], f"{side}: database")
    want(server["environment"]["POSTGRES_PASSWORD"] == dsn["password"], f"{side}: password")
    want(dsn["dbname"] in server["healthcheck"]["test"], f"{side}: health check")
    want(services["init"]["depends_on"][dsn["host"]]["condition"] == "service_healthy", f"init waits for the {side}")
listen = settings["http"]["listen"].split(":")[1]
prometheus = load("prometheus.yml")
want(prometheus["scrape_configs"][0]["static_configs"][0]["targets"] == [f"pgrekey:{listen}"], "what Prometheus scrapes")
for rules in prometheus["rule_files"]:
    want(os.path.isfile(mounts.get(("prometheus", "/etc/prometheus/" + rules), "")), f"no {rules}")
source = yaml.safe_load(open(mounts["grafana", "/etc/grafana/provisioning/datasources/pgrekey.yaml"]))["datasources"][0]
want(source["type"] == "prometheus" and source["isDefault"] and source["url"] == "http://prometheus:9090", "Grafana's source")
provider = yaml.safe_load(open(mounts["grafana", "/etc/grafana/provisioning/dashboards/pgrekey.yaml"]))["providers"][0]
path = provider["options"]["path"] + "/pgrekey.json"
want("uid" in json.load(open(mounts["grafana", path])), "Grafana's dashboard")
sys.exit(bad > 0)
