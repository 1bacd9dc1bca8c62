//! Names of AWS resources that this daemon parses. PURE.
//!
//! Formats: AWS General Reference, "Amazon Resource Names"; Service Authorization Reference, "Elastic Load
//! Balancing V2".

use std::fmt;
use std::str::FromStr;

use super::region::Region;

/// Longest name of a target group.
const NAME: usize = 32;

/// `arn:PARTITION:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroupArn {
    /// Such as `eu-west-1`, with its partition.
    pub region: Region,
    /// Twelve digits.
    pub account: String,
    /// The target group's name.
    pub name: String,
    /// Distinguishes groups of one name: hexadecimal digits.
    pub id: String,
}

/// What is wrong with a text that should be a target group's ARN: a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// It does not begin with `arn:`.
    #[error("does not begin with arn:")]
    NotAnArn,
    /// It names something of another service.
    #[error("is not one of elasticloadbalancing")]
    OtherService,
    /// It names a load balancer, a listener or something else.
    #[error("does not name a target group")]
    NotATargetGroup,
    /// This part is invalid.
    #[error("has an invalid {0}")]
    Part(&'static str),
}

// === impl TargetGroupArn ===

impl TargetGroupArn {
    /// Distinguishes it from other groups of its account and region: `targetgroup/NAME/ID`.
    pub fn resource(&self) -> String {
        format!("targetgroup/{}/{}", self.name, self.id)
    }
}

impl FromStr for TargetGroupArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (arn, partition, service, region, account, resource) =
            (next(), next(), next(), next(), next(), next());
        if arn != "arn" {
            return Err(ArnError::NotAnArn);
        }
        if service != "elasticloadbalancing" {
            return Err(ArnError::OtherService);
        }
        let Some((name, id)) = resource.strip_prefix("targetgroup/").and_then(|group| group.split_once('/'))
        else {
            return Err(ArnError::NotATargetGroup);
        };
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let checks = [
            ("partition", partition.starts_with("aws") && is_name(partition)),
            ("region", is_region(region)),
            ("account", account.len() == 12 && account.chars().all(|c| c.is_ascii_digit())),
            ("name", (1..=NAME).contains(&name.len()) && is_name(name)),
            ("id", id.len() == 16 && id.chars().all(|c| c.is_ascii_hexdigit())),
        ];
        match checks.into_iter().find(|(_, fits)| !fits) {
            Some((part, _)) => Err(ArnError::Part(part)),
            None => Ok(Self {
                region: Region::within(partition, region),
                account: account.to_owned(),
                name: name.to_owned(),
                id: id.to_owned(),
            }),
        }
    }
}

impl fmt::Display for TargetGroupArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, account, name: _, id: _ } = self;
        write!(f, "arn:{}:elasticloadbalancing:{region}:{account}:{}", region.partition(), self.resource())
    }
}

/// Whether this may be a region: `eu-west-1`, `us-gov-east-1`, `ap-southeast-2`.
pub(crate) fn is_region(text: &str) -> bool {
    let mut steps = text.split('-');
    let last_is_number = steps.next_back().is_some_and(|number| {
        (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let words: Vec<_> = steps.collect();
    let is_word =
        |word: &&str| (2..=12).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase());
    last_is_number && (2..=4).contains(&words.len()) && words.iter().all(is_word)
}

/// The partition that a region belongs to, by the beginning of its name.
pub(crate) fn partition_of(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IRIS: &str =
        "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef";

    #[test]
    fn an_arn_is_taken_apart_and_put_together() {
        let arn = IRIS.parse::<TargetGroupArn>().unwrap();
        assert_eq!(
            (arn.region.partition(), arn.region.name(), arn.account.as_str()),
            ("aws", "eu-west-1", "123456789012")
        );
        assert_eq!((arn.name.as_str(), arn.id.as_str()), ("iris", "0123456789abcdef"));
        assert_eq!(arn.to_string(), IRIS);
    }

    #[test]
    fn others_are_refused_for_their_reason() {
        let refused =
            |from: &str, to: &str| IRIS.replacen(from, to, 1).parse::<TargetGroupArn>().unwrap_err();
        assert_eq!(refused("arn:", "an:"), ArnError::NotAnArn);
        assert_eq!(refused("elasticloadbalancing", "ec2"), ArnError::OtherService);
        assert_eq!(refused("targetgroup/", "loadbalancer/net/"), ArnError::NotATargetGroup);
        assert_eq!(refused("aws", "AWS"), ArnError::Part("partition"));
        assert_eq!(refused("eu-west-1", "eu-west"), ArnError::Part("region"));
        assert_eq!(refused("eu-west-1", ""), ArnError::Part("region"));
        assert_eq!(refused("123456789012", "12345678901"), ArnError::Part("account"));
        assert_eq!(refused("iris", "i_ris"), ArnError::Part("name"));
        assert_eq!(refused("abcdef", "abcdeg"), ArnError::Part("id"));
        assert_eq!(refused("abcdef", "abcdef\n"), ArnError::Part("id"));
    }

    #[test]
    fn a_region_implies_its_partition() {
        for (region, partition) in
            [("eu-west-1", "aws"), ("us-gov-east-1", "aws-us-gov"), ("cn-northwest-1", "aws-cn")]
        {
            assert!(is_region(region), "{region}");
            assert_eq!(partition_of(region), partition);
        }
        for text in ["", "eu", "eu-west", "eu-west-1a", "EU-west-1", "eu-west-1-2", "auto"] {
            assert!(!is_region(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_decided(text in "(arn|aws|:|/|-|elasticloadbalancing|targetgroup|[a-f0-9]{16}|.){0,12}") {
            if let Ok(arn) = text.parse::<TargetGroupArn>() {
                prop_assert_eq!(arn.to_string(), text);
            }
        }
    }
}
