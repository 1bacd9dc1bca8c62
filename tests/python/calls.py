"""Makes the AWS calls that it is told on standard input, by boto3, and writes what came of each.

A line in:  ["elbv2", "register_targets", {"TargetGroupArn": "...", ...}]
A line out: {"ok": ..., "retries": 0} or {"error": "Throttling", "message": "...", "status": 400, "retries": 4}
            or {"broken": "..."} when there was no answer of the service.
Endpoints, region and credentials come from the environment, as for everybody.
"""

import json
import sys

import boto3
import botocore.model
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# Of the protocols that a service understands: those that the daemon speaks. The simulated cloud knows no others.
botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS = ("query", "ec2", "rest-xml", "json")

CONFIG = Config(
    connect_timeout=5,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 3},
)


def call(service, method, parameters):
    client = boto3.client(service, config=CONFIG)
    try:
        answer = getattr(client, method)(**parameters)
    except ClientError as error:
        metadata = error.response["ResponseMetadata"]
        return {
            "error": error.response["Error"]["Code"],
            "message": error.response["Error"]["Message"],
            "status": metadata["HTTPStatusCode"],
            "retries": metadata["RetryAttempts"],
        }
    except BotoCoreError as error:
        return {"broken": str(error)}
    retries = answer.pop("ResponseMetadata")["RetryAttempts"]
    return {"ok": answer, "retries": retries}


for line in sys.stdin:
    print(json.dumps(call(*json.loads(line)), default=str), flush=True)
