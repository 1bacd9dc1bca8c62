"""Checks manifests against the schemas of Kubernetes, strictly, and prints the configurations in YAML files.

    manifests.py FILE...    prints [[FILE, TOML], ...] as JSON; fails if a manifest does not fit its schema

Files with `services` are compose files, which the compose tool checks; the others are manifests.
"""

import json
import sys

import kubernetes_validate
import yaml

VARIABLE = "MIRRORVIP_CONFIG_TOML"


def configurations(node):
    """The values of the variable, in a map of names or a list of names and values."""
    if isinstance(node, dict):
        if isinstance(node.get(VARIABLE), str):
            yield node[VARIABLE]
        if node.get("name") == VARIABLE:
            yield node["value"]
        for child in node.values():
            yield from configurations(child)
    elif isinstance(node, list):
        for child in node:
            yield from configurations(child)


found = []
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        documents = list(yaml.safe_load_all(file))
    for document in documents:
        if "services" not in document:
            kubernetes_validate.validate(document, "1.34", strict=True)
        found += [[path, text] for text in configurations(document)]
json.dump(found, sys.stdout)
