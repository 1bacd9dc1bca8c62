"""Prints a Terraform file's resources and policy documents as JSON: {"TYPE.NAME": {...}, ...}, for comparison.

Blocks are lists, strings are without quotes, references stay as they are written.
"""

import json
import sys

import hcl2


def plain(node):
    if isinstance(node, dict):
        return {plain(key): plain(value) for key, value in node.items() if not key.startswith("__")}
    if isinstance(node, list):
        return [plain(child) for child in node]
    if isinstance(node, str) and len(node) > 1 and node[0] == node[-1] == '"':
        return node[1:-1]
    return node


with open(sys.argv[1], encoding="utf-8") as file:
    whole = plain(hcl2.load(file))
found = {}
for block in whole["resource"] + whole["data"]:
    for kind, named in block.items():
        for name, body in named.items():
            found[f"{kind}.{name}"] = body
json.dump(found, sys.stdout)
