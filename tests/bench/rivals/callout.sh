#!/bin/sh
# Steers by the AWS command line with its defaults, as a call-out like ^ZMIRROR does: looks, then writes.
#
#   callout.sh group ARN PORT ADDRESS
#   callout.sh record ZONE NAME ADDRESS
set -eu

case $1 in
group)
    aws elbv2 describe-target-health --target-group-arn "$2" >/dev/null
    aws elbv2 register-targets --target-group-arn "$2" --targets "Id=$4,Port=$3"
    ;;
record)
    aws route53 list-resource-record-sets --hosted-zone-id "$2" --start-record-name "$3" --start-record-type A \
        --max-items 1 >/dev/null
    aws route53 change-resource-record-sets --hosted-zone-id "$2" --change-batch '{"Changes": [{
        "Action": "UPSERT",
        "ResourceRecordSet": {"Name": "'"$3"'", "Type": "A", "TTL": 5, "ResourceRecords": [{"Value": "'"$4"'"}]}
    }]}' >/dev/null
    ;;
esac
