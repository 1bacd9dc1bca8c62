//! Route 53: actions on hosted zones. PURE.

use std::time::Duration;

use roxmltree::{Document, Node};

use super::api::{ApiError, Request};
use super::journal::Touched;
use super::objects::{Answer, Objects, answered, unknown};
use super::record::{Action, Alias, Change, RecordKey, RecordSet, normal_name};
use super::xml::Xml;
use super::zone::{Refusal, Zone};

/// Most records in one answer.
const PAGE: usize = 300;
/// The fields of a record besides name, type, identifier, values and alias.
const ROUTING: [&str; 5] = ["Weight", "Region", "Failover", "MultiValueAnswer", "HealthCheckId"];

pub(super) fn answer(objects: &mut Objects, now: Duration, request: &Request) -> Result<Answer, ApiError> {
    match request.action.as_str() {
        "ListResourceRecordSets" => list(zone(objects, request)?, request),
        "ChangeResourceRecordSets" => change(objects, now, request),
        "GetChange" => {
            let id = request.parameters.required("Id")?;
            let insync = objects.zones.values().find_map(|zone| zone.is_insync(now, id));
            let insync = insync.ok_or_else(|| {
                ApiError::new(404, "NoSuchChange", format!("Could not find resource with ID: {id}"))
            })?;
            Ok(answered(change_info(id, insync)))
        }
        "GetHostedZone" => {
            let zone = zone(objects, request)?;
            let mut xml = Xml::new();
            xml.element("HostedZone", |xml| {
                xml.text("Id", format!("/hostedzone/{}", request.parameters.get("Id").unwrap_or_default()))
                    .text("Name", zone.name())
                    .text("CallerReference", "simulated")
                    .element("Config", |xml| {
                        xml.text("PrivateZone", true);
                    })
                    .text("ResourceRecordSetCount", zone.len());
            });
            xml.list("VPCs", "VPC", [()], |xml, ()| {
                xml.text("VPCRegion", &objects.settings.region).text("VPCId", "vpc-00000000000000001");
            });
            Ok(answered(xml.finish()))
        }
        _ => Err(unknown(request)),
    }
}

/// The previous batch is still being processed.
pub(super) fn prior_request_not_complete() -> ApiError {
    let message = "The request was rejected because Route 53 was still processing a prior request.";
    ApiError::new(400, "PriorRequestNotComplete", message)
}

fn invalid_input(message: impl Into<String>) -> ApiError {
    ApiError::new(400, "InvalidInput", message)
}

fn no_such_zone(id: &str) -> ApiError {
    ApiError::new(404, "NoSuchHostedZone", format!("No hosted zone found with ID: {id}"))
}

fn zone<'a>(objects: &'a Objects, request: &Request) -> Result<&'a Zone, ApiError> {
    let id = request.parameters.required("Id")?;
    objects.zones.get(id).ok_or_else(|| no_such_zone(id))
}

fn change_info(id: &str, insync: bool) -> String {
    let mut xml = Xml::new();
    xml.element("ChangeInfo", |xml| {
        xml.text("Id", format!("/change/{id}"))
            .text("Status", if insync { "INSYNC" } else { "PENDING" })
            .text("SubmittedAt", "2026-01-01T00:00:00.000Z");
    });
    xml.finish()
}

// === List ===

fn list(zone: &Zone, request: &Request) -> Result<Answer, ApiError> {
    let get = |key: &str| request.parameters.get(key);
    let (name, record_type, identifier) = (get("name"), get("type"), get("identifier"));
    if (record_type.is_some() && name.is_none()) || (identifier.is_some() && record_type.is_none()) {
        return Err(invalid_input("A type needs a name, and an identifier needs a type"));
    }
    let most = get("maxitems").map_or(Ok(PAGE), str::parse).map_err(|_number| {
        invalid_input("1 validation error detected: Value at 'maxItems' failed to satisfy constraint")
    })?;
    let most = most.clamp(1, PAGE);
    let start = name.map(|name| RecordKey::new(name, record_type.unwrap_or_default(), identifier));
    let mut records = zone.list(start.as_ref());
    let page: Vec<_> = records.by_ref().take(most).collect();
    let next = records.next();
    let mut xml = Xml::new();
    xml.list("ResourceRecordSets", "ResourceRecordSet", page, write_record);
    xml.text("IsTruncated", next.is_some());
    if let Some(next) = next {
        xml.text("NextRecordName", &next.name)
            .text("NextRecordType", &next.record_type)
            .optional("NextRecordIdentifier", next.set_identifier.as_ref());
    }
    xml.text("MaxItems", most);
    Ok(answered(xml.finish()))
}

fn write_record(xml: &mut Xml, record: &RecordSet) {
    xml.text("Name", &record.name)
        .text("Type", &record.record_type)
        .optional("SetIdentifier", record.set_identifier.as_ref());
    for key in ROUTING.iter().filter(|key| **key != "HealthCheckId") {
        xml.optional(key, record.routing.get(*key));
    }
    xml.optional("TTL", record.ttl);
    if !record.values.is_empty() {
        xml.list("ResourceRecords", "ResourceRecord", &record.values, |xml, value| {
            xml.text("Value", value);
        });
    }
    if let Some(alias) = &record.alias {
        xml.element("AliasTarget", |xml| {
            xml.text("HostedZoneId", &alias.hosted_zone_id)
                .text("DNSName", &alias.dns_name)
                .text("EvaluateTargetHealth", alias.evaluate_target_health);
        });
    }
    xml.optional("HealthCheckId", record.routing.get("HealthCheckId"));
}

// === Change ===

fn change(objects: &mut Objects, now: Duration, request: &Request) -> Result<Answer, ApiError> {
    let zone_id = request.parameters.required("Id")?;
    let id = format!("C{:020X}", objects.next_id());
    let zone = objects.zones.get_mut(zone_id).ok_or_else(|| no_such_zone(zone_id))?;
    let batch = read_batch(&request.body)?;
    let leads_to =
        |zone: &Zone, key: &RecordKey| zone.record(key).map(RecordSet::leads_to).unwrap_or_default();
    let mut touched: Vec<Touched> = Vec::new();
    let mut keys = Vec::new();
    for change in &batch {
        let object = object(zone_id, &change.record);
        if touched.iter().all(|touched| touched.object != object) {
            let key = change.record.key();
            touched.push(Touched { object, before: leads_to(zone, &key), after: Vec::new() });
            keys.push(key);
        }
    }
    zone.change(now, id.clone(), &batch).map_err(|refusal| match refusal {
        Refusal::PriorRequestNotComplete => prior_request_not_complete(),
        Refusal::Invalid(problems) => {
            ApiError::new(400, "InvalidChangeBatch", format!("[{}]", problems.join(", ")))
        }
    })?;
    for (touched, key) in touched.iter_mut().zip(&keys) {
        touched.after = leads_to(zone, key);
    }
    let insync = zone.is_insync(now, &id).unwrap_or_default();
    Ok(Answer { body: change_info(&id, insync), touched })
}

/// A record's name in the journal: `ZONE/NAME/TYPE`, and the identifier if there is one.
pub(super) fn object(zone_id: &str, record: &RecordSet) -> String {
    let RecordSet { name, record_type, set_identifier, .. } = record;
    let set = set_identifier.as_ref().map(|set| format!("/{set}")).unwrap_or_default();
    format!("{zone_id}/{name}/{record_type}{set}")
}

fn read_batch(body: &str) -> Result<Vec<Change>, ApiError> {
    let document = Document::parse(body).map_err(|error| invalid_input(format!("Invalid XML ; {error}")))?;
    let changes = child(document.root_element(), "ChangeBatch").and_then(|batch| child(batch, "Changes"));
    let changes = changes.ok_or_else(|| invalid_input("Invalid XML ; the batch has no changes"))?;
    let batch: Vec<_> = elements(changes).map(read_change).collect::<Result<_, _>>()?;
    if batch.is_empty() {
        return Err(invalid_input("Invalid XML ; the batch has no changes"));
    }
    Ok(batch)
}

fn read_change(change: Node<'_, '_>) -> Result<Change, ApiError> {
    let action = match text(change, "Action")? {
        "CREATE" => Action::Create,
        "DELETE" => Action::Delete,
        "UPSERT" => Action::Upsert,
        other => return Err(invalid_input(format!("Invalid XML ; cvc-enumeration-valid: Value '{other}'"))),
    };
    let node = child(change, "ResourceRecordSet")
        .ok_or_else(|| invalid_input("Invalid XML ; a change has no record"))?;
    let mut record = RecordSet::empty(text(node, "Name")?, text(node, "Type")?);
    for field in elements(node) {
        let value = || field.text().unwrap_or_default().to_owned();
        match field.tag_name().name() {
            "Name" | "Type" => {}
            "SetIdentifier" => record.set_identifier = Some(value()),
            "TTL" => {
                let ttl = value().parse().ok().filter(|ttl| i32::try_from(*ttl).is_ok());
                record.ttl = Some(ttl.ok_or_else(|| invalid_input(format!("Invalid TTL: {}", value())))?);
            }
            "ResourceRecords" => {
                for value in elements(field) {
                    record.values.push(text(value, "Value")?.to_owned());
                }
            }
            "AliasTarget" => {
                record.alias = Some(Alias {
                    hosted_zone_id: text(field, "HostedZoneId")?.to_owned(),
                    dns_name: normal_name(text(field, "DNSName")?),
                    evaluate_target_health: text(field, "EvaluateTargetHealth")? == "true",
                });
            }
            name if ROUTING.contains(&name) => {
                record.routing.insert(name.to_owned(), value());
            }
            name => return Err(invalid_input(format!("this simulation knows nothing of {name}"))),
        }
    }
    Ok(Change { action, record })
}

fn elements<'a, 'input>(node: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(Node::is_element)
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    elements(node).find(|element| element.tag_name().name() == name)
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str, ApiError> {
    let found = child(node, name).and_then(|element| element.text());
    found.ok_or_else(|| invalid_input(format!("Invalid XML ; {name} is missing")))
}
