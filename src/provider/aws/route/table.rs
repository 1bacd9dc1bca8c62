//! `[[mirror.route]]`: its keys, what each sets, and how it is read.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;

use ipnet::IpNet;

use crate::config::Key;
use crate::config::reading::{
    Declared, ObjectClaims, Reported, Section, Setting, Value as Written, auto_or, distinct, quoted, text,
};
use crate::config::steering::Value;
use crate::provider::aws::region::Region;
use crate::provider::aws::value::{self, is_resource_id};

const SECTION: &str = "mirror.route";

const ROUTE_TABLES: Setting<Vec<String>> =
    Setting::required(SECTION, "route_tables", "id of the route table, or a list of ids", route_tables);
const DESTINATION: Setting<IpNet> = Setting::required(
    SECTION,
    "destination",
    "the overlay address or network, outside the VPC's own",
    destination,
);
const TARGET: Setting<Value<NextHop>> = Setting::or(
    SECTION,
    "target",
    r#""auto""#,
    "where the route leads: this member's network interface (eni-...) or instance (i-...); `auto` is the instance's primary network interface",
    |value| auto_or(value, next_hop),
);
const REGION: Setting<Value<Region>> =
    Setting::or(SECTION, "region", r#""auto""#, value::REGION, value::region_or_auto);

/// An overlay address: a route to it in every named route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The route tables.
    pub route_tables: Vec<String>,
    /// The overlay address or network, outside the VPC's own.
    pub destination: IpNet,
    /// Where the route leads on this member. Automatic: its primary network interface.
    pub target: Value<NextHop>,
    /// The region.
    pub region: Value<Region>,
}

/// Where a route leads on a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// A network interface, `eni-...`.
    NetworkInterface(String),
    /// An instance with a single network interface, `i-...`.
    Instance(String),
}

impl Declared for Table {
    const SECTION: &'static str = SECTION;
    const KEYS: &'static [Key] = &[ROUTE_TABLES.key, DESTINATION.key, TARGET.key, REGION.key];

    fn read(section: &Section<'_>, claims: &mut ObjectClaims<'_>) -> Result<Self, Reported> {
        let tables = section.read(&ROUTE_TABLES);
        let destination = section.read(&DESTINATION);
        let target = section.read(&TARGET);
        let region = section.read(&REGION);

        if let (Ok(tables), Ok(destination)) = (&tables, &destination) {
            for table in &tables.value {
                let message = format!("the route to {} in {table} is steered twice", destination.value);
                let help = "Steer a route in one [[mirror.route]] of one mirror.";
                claims.take(format!("{table} {}", destination.value), tables.span.clone(), message, help);
            }
        }
        Ok(Self {
            route_tables: tables?.value,
            destination: destination?.value,
            target: target?.value,
            region: region?.value,
        })
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkInterface(id) | Self::Instance(id) => f.write_str(id),
        }
    }
}

/// An instance or a network interface.
fn next_hop(value: &Written<'_>) -> Result<NextHop, Reported> {
    let help = "Write \"auto\", a network interface \"eni-0123456789abcdef0\" or an instance \"i-0123456789abcdef0\".";
    let text = text(value, help)?;
    if is_resource_id(text, "i-") {
        Ok(NextHop::Instance(text.to_owned()))
    } else if is_resource_id(text, "eni-") {
        Ok(NextHop::NetworkInterface(text.to_owned()))
    } else {
        Err(value.refuse(format!("{} is neither a network interface nor an instance", quoted(text)), help))
    }
}

/// Ids of route tables: one, or a list.
fn route_tables(value: &Written<'_>) -> Result<Vec<String>, Reported> {
    let help = "Write the id of a route table, such as \"rtb-0123456789abcdef0\", or a list of them.";
    let read = |value: &Written<'_>| {
        let text = text(value, help)?;
        if is_resource_id(text, "rtb-") {
            Ok(text.to_owned())
        } else {
            Err(value.refuse(format!("{} is not a route table's id", quoted(text)), help))
        }
    };
    let tables = distinct(value, read)?;
    if tables.is_empty() {
        return Err(value.refuse("`route_tables` is empty", help));
    }
    Ok(tables)
}

/// The destination of a route: a network, or a single address.
fn destination(value: &Written<'_>) -> Result<IpNet, Reported> {
    let example = "Write an address outside the VPC's own networks, such as \"192.168.99.1/32\".";
    let text = text(value, example)?;
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(address.into());
    }
    let Ok(network) = IpNet::from_str(text) else {
        return Err(value.refuse(format!("{} is not a destination", quoted(text)), example));
    };
    if network.addr() != network.network() {
        let message = format!("{} is an address within a network", quoted(text));
        let help = format!("Write \"{}\" for the network, or \"{}\".", network.trunc(), network.addr());
        return Err(value.refuse(message, help));
    }
    if network.prefix_len() == 0 {
        let message = format!("{} is the default route", quoted(text));
        return Err(value.refuse(message, example));
    }
    Ok(network)
}
