//! Requests and answers of the AWS APIs on the wire, in the protocols that the daemon uses: Query, EC2 and REST XML. PURE.
//!
//! In every encoding an action's parameters become one flat map with the keys of the Query protocol
//! (`Targets.member.1.Id`); only the XML body of Route 53 stays as it is. Service and caller are in the credential scope
//! of the `Authorization` header: `KEY/DATE/REGION/SERVICE/aws4_request`.

use std::collections::BTreeMap;

use hyper::http::request;

use super::settings::Service;
use super::xml::Xml;

/// A request, read.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) service: Service,
    pub(super) encoding: Encoding,
    pub(super) action: String,
    pub(super) parameters: Parameters,
    /// The XML body of Route 53; empty for all others.
    pub(super) body: String,
    pub(super) access_key: String,
    pub(super) token: Option<String>,
    pub(super) region: String,
}

/// The parameters of an action, flat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(BTreeMap<String, String>);

/// The protocol of a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Query,
    Ec2,
    RestXml,
}

/// An error as a service reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

/// An answer, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

// === impl Request ===

impl Request {
    /// Reads a request; the error is that of an AWS front end, before any service sees the request.
    pub(super) fn read(head: &request::Parts, body: &[u8]) -> Result<Self, ApiError> {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let missing =
            || ApiError::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token");
        let authorization = header("authorization").ok_or_else(missing)?;
        let credential = authorization.split(['=', ',']).nth(1).ok_or_else(missing)?;
        let mut scope = credential.split('/');
        let mut next = || scope.next().map(ToOwned::to_owned).ok_or_else(missing);
        let (access_key, _date, region, signing_name) = (next()?, next()?, next()?, next()?);

        let text = || String::from_utf8_lossy(body).into_owned();
        let unknown = || ApiError::new(400, "InvalidAction", "The action or operation requested is invalid.");
        let (service, encoding, action, parameters, body) = if signing_name == "route53" {
            let (action, parameters) = rest_action(head).ok_or_else(unknown)?;
            (Service::Route53, Encoding::RestXml, action, parameters, text())
        } else {
            let mut parameters = Parameters::from_form(body);
            let action = parameters.0.remove("Action").ok_or_else(unknown)?;
            let version = parameters.0.remove("Version");
            let (service, encoding) = match (signing_name.as_str(), version.as_deref()) {
                ("elasticloadbalancing", Some("2015-12-01")) => (Service::Elbv2, Encoding::Query),
                ("elasticloadbalancing", Some("2012-06-01")) => (Service::ClassicElb, Encoding::Query),
                ("ec2", Some("2016-11-15")) => (Service::Ec2, Encoding::Ec2),
                ("monitoring", Some("2010-08-01")) => (Service::CloudWatch, Encoding::Query),
                ("sts", Some("2011-06-15")) => (Service::Sts, Encoding::Query),
                _ => return Err(unknown()),
            };
            (service, encoding, action, parameters, String::new())
        };
        let token = header("x-amz-security-token").map(ToOwned::to_owned);
        Ok(Self { service, encoding, action, parameters, body, access_key, token, region })
    }

    /// The parameters and body, for people.
    pub(super) fn described(&self) -> String {
        let parameters: Vec<_> =
            self.parameters.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        [parameters.join(" "), self.body.clone()].join(" ").trim().to_owned()
    }

    /// The answer of an action that succeeded; `result` is the content of its outermost element.
    pub(super) fn render(&self, id: &str, result: &str) -> Rendered {
        let action = &self.action;
        let mut xml = Xml::new();
        xml.element(&format!("{action}Response xmlns=\"{}\"", self.namespace()), |xml| match self.encoding {
            Encoding::Query => {
                if !matches!(self.service, Service::CloudWatch) {
                    xml.element(&format!("{action}Result"), |xml| _ = xml.raw(result));
                }
                xml.element("ResponseMetadata", |xml| _ = xml.text("RequestId", id));
            }
            Encoding::Ec2 => _ = xml.text("requestId", id).raw(result),
            Encoding::RestXml => _ = xml.raw(result),
        });
        let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", xml.finish());
        self.rendered(200, id, body)
    }

    /// The answer of an action that failed.
    pub(super) fn render_error(&self, id: &str, error: &ApiError) -> Rendered {
        self.rendered(error.status, id, error_document(self.encoding, self.namespace(), id, error))
    }

    fn rendered(&self, status: u16, id: &str, body: String) -> Rendered {
        let content_type = match self.encoding {
            Encoding::Query | Encoding::RestXml => "text/xml",
            Encoding::Ec2 => "text/xml;charset=UTF-8",
        };
        let headers = vec![("x-amzn-requestid", id.to_owned())];
        Rendered { status, content_type, headers, body: body.into_bytes() }
    }

    fn namespace(&self) -> &'static str {
        match self.service {
            Service::Elbv2 => "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
            Service::ClassicElb => "http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/",
            Service::Route53 => "https://route53.amazonaws.com/doc/2013-04-01/",
            Service::Ec2 => "http://ec2.amazonaws.com/doc/2016-11-15/",
            Service::CloudWatch => "http://monitoring.amazonaws.com/doc/2010-08-01/",
            Service::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            Service::Metadata => "",
        }
    }
}

/// An error about a request that could not be read, as the front ends write it.
pub(super) fn render_unread(id: &str, error: &ApiError) -> Rendered {
    let body =
        error_document(Encoding::Query, "http://webservices.amazon.com/AWSFault/2005-15-09", id, error);
    Rendered { status: error.status, content_type: "text/xml", headers: Vec::new(), body: body.into_bytes() }
}

fn error_document(encoding: Encoding, namespace: &str, id: &str, error: &ApiError) -> String {
    let mut xml = Xml::new();
    if encoding == Encoding::Ec2 {
        xml.element("Response", |xml| {
            xml.element("Errors", |xml| {
                xml.element("Error", |xml| {
                    xml.text("Code", &error.code).text("Message", &error.message);
                });
            });
            xml.text("RequestID", id);
        });
    } else {
        xml.element(&format!("ErrorResponse xmlns=\"{namespace}\""), |xml| {
            xml.element("Error", |xml| {
                let whose_fault = if error.status < 500 { "Sender" } else { "Receiver" };
                xml.text("Type", whose_fault).text("Code", &error.code).text("Message", &error.message);
            });
            xml.text("RequestId", id);
        });
    }
    format!("<?xml version=\"1.0\"?>\n{}", xml.finish())
}

/// The action that a path of Route 53 stands for.
fn rest_action(head: &request::Parts) -> Option<(String, Parameters)> {
    let mut parameters = Parameters::from_form(head.uri.query().unwrap_or_default().as_bytes());
    let path: Vec<_> = head.uri.path().trim_matches('/').split('/').collect();
    let (action, id) = match (head.method.as_str(), path.as_slice()) {
        ("GET", ["2013-04-01", "hostedzone", id]) => ("GetHostedZone", id),
        ("GET", ["2013-04-01", "hostedzone", id, "rrset"]) => ("ListResourceRecordSets", id),
        ("POST", ["2013-04-01", "hostedzone", id, "rrset"]) => ("ChangeResourceRecordSets", id),
        ("GET", ["2013-04-01", "change", id]) => ("GetChange", id),
        _ => return None,
    };
    parameters.0.insert("Id".to_owned(), (*id).to_owned());
    Some((action.to_owned(), parameters))
}

// === impl Parameters ===

impl Parameters {
    fn from_form(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A parameter that must be there.
    pub(super) fn required(&self, key: &str) -> Result<&str, ApiError> {
        self.get(key).ok_or_else(|| {
            ApiError::new(400, "MissingParameter", format!("The request must contain the parameter {key}"))
        })
    }

    /// The elements of a list of texts: `KEY.1`, `KEY.2`, ...
    pub(super) fn list(&self, key: &str) -> Vec<&str> {
        (1..).map_while(|number| self.get(&format!("{key}.{number}"))).collect()
    }

    /// The prefixes of the elements of a list of structures that have a `field`: `KEY.1.`, `KEY.2.`, ...
    pub(super) fn structures(&self, key: &str, field: &str) -> Vec<String> {
        let prefixes = (1..).map(|number| format!("{key}.{number}."));
        prefixes.take_while(|prefix| self.get(&format!("{prefix}{field}")).is_some()).collect()
    }
}

// === impl ApiError ===

impl ApiError {
    pub(super) fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    /// An invalid value.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationError", message)
    }

    /// Too many requests, as the service reports it.
    pub(super) fn throttled(service: Service) -> Self {
        match service {
            Service::Ec2 => Self::new(503, "RequestLimitExceeded", "Request limit exceeded."),
            Service::Metadata => Self::new(429, "TooManyRequests", "Too Many Requests"),
            _ => Self::new(400, "Throttling", "Rate exceeded"),
        }
    }

    /// A server error.
    pub(super) fn server(service: Service, status: u16) -> Self {
        match (service, status) {
            (Service::Ec2, 503) => Self::new(503, "Unavailable", "The service is unavailable."),
            (Service::Ec2, _) => Self::new(status, "InternalError", "An internal error has occurred"),
            (_, 503) => Self::new(503, "ServiceUnavailable", "Service is unavailable, try again."),
            (_, _) => Self::new(status, "InternalFailure", "An internal failure occurred."),
        }
    }

    /// The caller may not do this.
    pub(super) fn denied(service: Service, action: &str, caller: &str) -> Self {
        if service == Service::Ec2 {
            let message = "You are not authorized to perform this operation.";
            return Self::new(403, "UnauthorizedOperation", message);
        }
        let action = format!("{}:{action}", service.prefix());
        Self::new(403, "AccessDenied", format!("User: {caller} is not authorized to perform: {action}"))
    }

    /// The caller's credentials have expired.
    pub(super) fn expired(service: Service) -> Self {
        if service == Service::Ec2 {
            return Self::new(400, "RequestExpired", "Request has expired.");
        }
        Self::new(403, "ExpiredToken", "The security token included in the request is expired")
    }

    /// The access key is not one of this cloud's, or its session token is not.
    pub(super) fn unknown_key(service: Service) -> Self {
        if service == Service::Ec2 {
            let message = "AWS was not able to validate the provided access credentials";
            return Self::new(401, "AuthFailure", message);
        }
        let message = "The security token included in the request is invalid.";
        Self::new(403, "InvalidClientTokenId", message)
    }
}
