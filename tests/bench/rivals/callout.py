"""Steers by boto3 with its defaults, as a call-out like ^ZMIRROR does when it starts Python: looks, then writes.

callout.py group ARN PORT ADDRESS
callout.py record ZONE NAME ADDRESS
"""

import sys

import boto3

kind, holder, name, address = sys.argv[1:]
if kind == "group":
    elbv2 = boto3.client("elbv2")
    elbv2.describe_target_health(TargetGroupArn=holder)
    elbv2.register_targets(TargetGroupArn=holder, Targets=[{"Id": address, "Port": int(name)}])
else:
    route53 = boto3.client("route53")
    route53.list_resource_record_sets(
        HostedZoneId=holder, StartRecordName=name, StartRecordType="A", MaxItems="1"
    )
    record = {"Name": name, "Type": "A", "TTL": 5, "ResourceRecords": [{"Value": address}]}
    change = {"Action": "UPSERT", "ResourceRecordSet": record}
    route53.change_resource_record_sets(HostedZoneId=holder, ChangeBatch={"Changes": [change]})
