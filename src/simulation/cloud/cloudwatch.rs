//! CloudWatch: only `PutMetricData`, for tests to read. PURE.

use std::collections::BTreeMap;

use super::api::{ApiError, Request};
use super::objects::{Answer, Datum, Objects, answered, unknown};
use super::settings::Member;

/// How many data are kept, the newest.
const LONGEST: usize = 10_000;

pub(super) fn answer(objects: &mut Objects, caller: &Member, request: &Request) -> Result<Answer, ApiError> {
    if request.action != "PutMetricData" {
        return Err(unknown(request));
    }
    let parameters = &request.parameters;
    let namespace = parameters.required("Namespace")?.to_owned();
    let prefixes = parameters.structures("MetricData.member", "MetricName");
    if prefixes.is_empty() {
        let message = "At least one of the parameters must be specified.";
        return Err(ApiError::new(400, "InvalidParameterCombination", message));
    }
    for prefix in prefixes {
        let value = parameters.required(&format!("{prefix}Value"))?;
        let value = value.parse().map_err(|_number| {
            let message = format!("The value {value} for parameter MetricData is invalid.");
            ApiError::new(400, "InvalidParameterValue", message)
        })?;
        let mut dimensions = BTreeMap::new();
        for dimension in parameters.structures(&format!("{prefix}Dimensions.member"), "Name") {
            let get =
                |field: &str| parameters.required(&format!("{dimension}{field}")).map(ToOwned::to_owned);
            dimensions.insert(get("Name")?, get("Value")?);
        }
        let metric = parameters.required(&format!("{prefix}MetricName"))?.to_owned();
        if objects.metrics.len() == LONGEST {
            objects.metrics.remove(0);
        }
        objects.metrics.push(Datum {
            member: caller.name.clone(),
            namespace: namespace.clone(),
            metric,
            dimensions,
            value,
        });
    }
    Ok(answered(String::new()))
}
