"""Decides requests by a ValidatingAdmissionPolicy in a manifest, with the implementation of CEL that Google maintains.

    policy.py FILE    reads [{"request": ..., "object": ..., "oldObject": ...}, ...] from standard input; prints for
                      each the messages of the validations that refuse it, or null if the policy is not about it

What the API server does besides: it matches rules by operation and resource, and fails where an expression does.
"""

import json
import sys

import yaml
from cel_expr_python import cel

NAMES = ["request", "object", "oldObject", "variables"]
ENVIRONMENT = cel.NewEnv(variables={name: cel.Type.DYN for name in NAMES})


def evaluate(expression, data):
    value = ENVIRONMENT.compile(expression).eval(data=data)
    if value.type() == cel.Type.ERROR:
        raise ValueError(f"{expression}: {value.value()}")
    return value.plain_value() if hasattr(value, "plain_value") else value.value()


def decide(spec, case):
    data = dict(case, variables={})
    if not all(evaluate(condition["expression"], data) for condition in spec.get("matchConditions", [])):
        return None
    for variable in spec.get("variables", []):
        data["variables"][variable["name"]] = evaluate(variable["expression"], data)
    return [check["message"] for check in spec["validations"] if not evaluate(check["expression"], data)]


with open(sys.argv[1], encoding="utf-8") as file:
    [policy] = [d for d in yaml.safe_load_all(file) if d["kind"] == "ValidatingAdmissionPolicy"]
json.dump([decide(policy["spec"], case) for case in json.load(sys.stdin)], sys.stdout)
