//! The AWS Query protocol: EC2, CloudWatch, classic load balancers and STS, without an SDK crate for each.
//!
//! An SDK crate for EC2 takes longer to compile than all the rest of this program, for three calls. What those
//! crates add to the SDK's runtime is a typed form and a typed answer; everything that matters in a failover
//! is the runtime's own, and is used here as they use it: credentials and their cache, the connection pool,
//! signatures, deadlines, attempts, the clock skew. The form is a list of pairs, the answer a small tree of
//! [`Xml`].
//!
//! Wire format: a `POST /` of `Action=...&Version=...&...`, as *Making API requests* of each service's
//! reference says; EC2's variant differs in how it spells lists and errors only.

use aws_config::{Region, SdkConfig};
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{self, SigV4AuthScheme};
use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_runtime::service_clock_skew::{ServiceClockSkewClassifier, ServiceClockSkewInterceptor};
use aws_runtime::user_agent::{ApiMetadata, UserAgentInterceptor};
use aws_smithy_runtime::client::http::connection_poisoning::ConnectionPoisoningInterceptor;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::auth::AuthSchemeOptionResolverParams;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::metadata::ErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SigningName;
use aws_types::region::SigningRegion;

use super::error::call_error;
use crate::steer::{CallError, Class};

mod endpoint;
#[cfg(test)]
mod tests;
mod xml;

pub use xml::Xml;

/// A service that speaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Amazon EC2.
    Ec2,
    /// Amazon CloudWatch.
    CloudWatch,
    /// Classic load balancers.
    ClassicElb,
    /// The security token service.
    Sts,
}

/// A client of one service in one region. Cheap to clone; shares the connections of its [`SdkConfig`].
#[derive(Clone, Debug)]
pub struct QueryClient {
    service: Service,
    /// `None` without a region: there is nowhere to send to and nothing to sign for.
    operations: Option<Operations>,
}

/// They differ in their attempts alone: what answers to the one tell of the clock, the other knows, too.
#[derive(Clone, Debug)]
struct Operations {
    repeated: Operation<String, Xml, ErrorMetadata>,
    once: Operation<String, Xml, ErrorMetadata>,
}

/// Whose credentials these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// The account's number.
    pub account: String,
    /// The user or the assumed role.
    pub arn: String,
}

/// Asks whose credentials `sdk` uses. Needs no right, so it tells "no credentials" from "not allowed".
pub async fn caller_identity(sdk: &SdkConfig) -> Result<CallerIdentity, CallError> {
    const ACTION: &str = "GetCallerIdentity";
    let answer = QueryClient::new(sdk, Service::Sts).call(ACTION, &[]).await?;
    let result = answer.child("GetCallerIdentityResult");
    let text = |name| result.and_then(|result| result.text_of(name)).map(str::to_owned);
    match (text("Account"), text("Arn")) {
        (Some(account), Some(arn)) => Ok(CallerIdentity { account, arn }),
        _ => Err(CallError::new(ACTION, Class::Retry, "the answer has no account or no ARN")),
    }
}

// === impl QueryClient ===

impl QueryClient {
    /// A client of `service` in the region of `sdk`, with its credentials, connections, deadlines, attempts
    /// and endpoints. Asks nobody.
    pub fn new(sdk: &SdkConfig, service: Service) -> Self {
        let operations = sdk.region().map(|region| {
            let clock_skew = SharedInterceptor::new(ServiceClockSkewInterceptor::new());
            let retries = sdk.retry_config().cloned().unwrap_or_else(super::retries);
            let operation = |retries| operation(sdk, service, region, clock_skew.clone(), retries);
            Operations { repeated: operation(&retries), once: operation(&super::single_attempt()) }
        });
        Self { service, operations }
    }

    /// Calls `action` with `parameters`, the protocol's own (`Action`, `Version`) left out, and gives the
    /// root of the answer. Takes [`OPERATION_TIMEOUT`](super::OPERATION_TIMEOUT) at most, attempts included.
    pub async fn call(
        &self,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<Xml, CallError> {
        self.invoke(|operations| &operations.repeated, action, parameters).await
    }

    /// The same in [one attempt](super::single_attempt).
    pub async fn call_once(
        &self,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<Xml, CallError> {
        self.invoke(|operations| &operations.once, action, parameters).await
    }

    async fn invoke(
        &self,
        which: fn(&Operations) -> &Operation<String, Xml, ErrorMetadata>,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<Xml, CallError> {
        let Some(operation) = self.operations.as_ref().map(which) else {
            return Err(CallError::new(action, Class::Stop, "no region is known"));
        };
        let form = form(action, self.service.version(), parameters);
        operation.invoke(form).await.map_err(|error| call_error(action, &error))
    }
}

// === impl Service ===

impl Service {
    /// The name in signatures and, in front of the region, in host names.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::CloudWatch => "monitoring",
            Self::ClassicElb => "elasticloadbalancing",
            Self::Sts => "sts",
        }
    }

    /// The version of the interface, a date.
    const fn version(self) -> &'static str {
        match self {
            Self::Ec2 => "2016-11-15",
            Self::CloudWatch => "2010-08-01",
            Self::ClassicElb => "2012-06-01",
            Self::Sts => "2011-06-15",
        }
    }

    /// The name under which the SDK's settings know it, as in `AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING`.
    const fn id(self) -> &'static str {
        match self {
            Self::Ec2 => "EC2",
            Self::CloudWatch => "CloudWatch",
            Self::ClassicElb => "Elastic Load Balancing",
            Self::Sts => "STS",
        }
    }
}

/// Puts together what an SDK crate's client is made of.
fn operation(
    sdk: &SdkConfig,
    service: Service,
    region: &Region,
    clock_skew: SharedInterceptor,
    retries: &RetryConfig,
) -> Operation<String, Xml, ErrorMetadata> {
    let mut settings = Layer::new("aws query");
    settings.store_put(SigningRegion::from(region.clone()));
    settings.store_put(SigningName::from_static(service.prefix()));
    settings.store_put(SigV4OperationSigningConfig::default());
    settings.store_put(AuthSchemeOptionResolverParams::new(()));
    settings.store_put(ApiMetadata::new(service.prefix(), service.version()));
    if let Some(name) = sdk.app_name() {
        settings.store_put(name.clone());
    }

    let mut components = RuntimeComponentsBuilder::new("aws query")
        .with_auth_scheme(SigV4AuthScheme::new())
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![sigv4::SCHEME_ID])))
        .with_identity_cache(sdk.identity_cache())
        .with_http_client(sdk.http_client())
        .with_sleep_impl(sdk.sleep_impl())
        .with_time_source(sdk.time_source())
        .with_interceptor(ConnectionPoisoningInterceptor::new())
        .with_interceptor(clock_skew)
        .with_interceptor(RequestInfoInterceptor::new())
        .with_interceptor(InvocationIdInterceptor::new())
        .with_interceptor(UserAgentInterceptor::new())
        .with_retry_classifier(HttpStatusCodeClassifier::default())
        .with_retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
        .with_retry_classifier(AwsErrorCodeClassifier::<ErrorMetadata>::new())
        .with_retry_classifier(ServiceClockSkewClassifier::<ErrorMetadata>::new());
    if let Some(credentials) = sdk.credentials_provider() {
        components.set_identity_resolver(sigv4::SCHEME_ID, credentials);
    }

    let mut builder = Operation::builder()
        .service_name(service.id())
        .operation_name("Query")
        .endpoint_url(&endpoint::url(sdk, service, region))
        .timeout_config(sdk.timeout_config().cloned().unwrap_or_else(super::timeouts))
        .standard_retry(retries)
        .runtime_plugin(
            StaticRuntimePlugin::new().with_config(settings.freeze()).with_runtime_components(components),
        );
    if let Some(version) = sdk.behavior_version() {
        builder = builder.behavior_version(version);
    }
    if let Some(client) = sdk.http_client() {
        builder = builder.http_client(client);
    }
    builder.serializer(request).deserializer(answer).build()
}

/// `Action=...&Version=...` and the parameters, as `application/x-www-form-urlencoded`.
fn form(action: &str, version: &str, parameters: &[(String, String)]) -> String {
    let mut form = String::new();
    let own = [("Action", action), ("Version", version)];
    for (key, value) in
        own.into_iter().chain(parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    {
        if !form.is_empty() {
            form.push('&');
        }
        encode(key, &mut form);
        form.push('=');
        encode(value, &mut form);
    }
    form
}

/// Appends `text`, all but RFC 3986's unreserved characters escaped.
fn encode(text: &str, form: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => form.push(byte.into()),
            byte => {
                form.push('%');
                form.push(HEX[usize::from(byte >> 4)].into());
                form.push(HEX[usize::from(byte & 15)].into());
            }
        }
    }
}

fn request(form: String) -> Result<HttpRequest, aws_smithy_runtime_api::box_error::BoxError> {
    let length = form.len().to_string();
    let mut request = HttpRequest::new(SdkBody::from(form));
    request.set_method("POST")?;
    request.set_uri("/")?;
    request.headers_mut().try_insert("content-type", "application/x-www-form-urlencoded")?;
    request.headers_mut().try_insert("content-length", length)?;
    Ok(request)
}

/// The answer's root, or the service's error.
fn answer(response: &HttpResponse) -> Result<Xml, OrchestratorError<ErrorMetadata>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return Xml::parse(body).map_err(OrchestratorError::other);
    }
    Err(OrchestratorError::operation(service_error(body)))
}

/// `<ErrorResponse><Error>` or EC2's `<Response><Errors><Error>`; what is neither has no code.
fn service_error(body: &[u8]) -> ErrorMetadata {
    let root = Xml::parse(body).ok();
    let error = root.as_ref().and_then(|root| root.child("Errors").unwrap_or(root).child("Error"));
    let text = |name| error.and_then(|error| error.text_of(name));
    let mut metadata = ErrorMetadata::builder();
    if let Some(code) = text("Code") {
        metadata = metadata.code(code);
    }
    match text("Message") {
        Some(message) => metadata.message(message).build(),
        // Bounded and sanitised with every other message, by `call_error`.
        None => metadata.message(String::from_utf8_lossy(body)).build(),
    }
}
