//! One call to a service of AWS, with the SDK's runtime and without the SDK's crate for that service.
//!
//! Such a crate takes longer to compile than everything else here, for three calls. What it adds to the runtime is a typed
//! request and a typed answer. Everything that matters in a failover belongs to the runtime and is used here as those
//! crates use it: credentials and their cache, the connection pool, signatures, deadlines, attempts, the clock skew.
//!
//! | module | its one job |
//! |---|---|
//! | this file | the services, and the operation that sends a [`Request`] and reads an answer or an error |
//! | [`query`](super::query) | requests of the Query protocol, which most services speak |
//! | [`rest`](super::rest) | requests of the REST XML protocol: DNS records |
//! | `endpoint` | where a service is, and for which region its requests are signed |
//! | `xml` | answers as trees of elements |

use aws_config::SdkConfig;
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
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::call_error;
use crate::steer::{CallError, Class};

mod endpoint;
#[cfg(test)]
mod tests;
mod xml;

use endpoint::Endpoint;
pub use xml::Xml;

/// A service of AWS. Each kind of targets describes its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// The name in signatures, and the first label of host names.
    pub prefix: &'static str,
    /// The version of the API, a date.
    pub version: &'static str,
    /// The name under which the SDK's settings know it, as in `AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING`.
    pub id: &'static str,
    /// Whether one endpoint per partition serves every region.
    pub is_global: bool,
}

/// A client of one service in one region. Cheap to clone; shares the connections of its [`SdkConfig`].
#[derive(Clone, Debug)]
pub(super) struct Client {
    service: Service,
    /// `None` without a region: there is no endpoint, and no region to sign for.
    operations: Option<Operations>,
}

/// A request of one of the protocols.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    /// The path and the query, escaped.
    pub(super) target: String,
    /// The body and its type; `None` for a request without one.
    pub(super) body: Option<(&'static str, String)>,
}

/// How often the SDK may send one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempts {
    /// As often as the [`SdkConfig`] says.
    Repeated,
    /// [Once](super::single_attempt).
    Single,
}

/// They differ in their attempts only, and share what answers say about the service's clock.
#[derive(Clone, Debug)]
struct Operations {
    repeated: Operation<Request, Xml, ErrorMetadata>,
    single: Operation<Request, Xml, ErrorMetadata>,
}

// === impl Client ===

impl Client {
    /// A client of `service` in the region of `sdk`, with its credentials, connections, deadlines, attempts
    /// and endpoints. Sends nothing.
    pub(super) fn new(sdk: &SdkConfig, service: Service) -> Self {
        let operations = sdk.region().map(|region| {
            let endpoint = Endpoint::of(sdk, service, region);
            let clock_skew = SharedInterceptor::new(ServiceClockSkewInterceptor::new());
            let retries = sdk.retry_config().cloned().unwrap_or_else(super::retries);
            let operation = |retries| operation(sdk, service, &endpoint, clock_skew.clone(), retries);
            Operations { repeated: operation(&retries), single: operation(&super::single_attempt()) }
        });
        Self { service, operations }
    }

    /// Which service.
    pub(super) const fn service(&self) -> Service {
        self.service
    }

    /// Sends `request`, which is a call of `action`, and gives the root of the answer. Takes
    /// [`OPERATION_TIMEOUT`](super::OPERATION_TIMEOUT) at most, attempts included.
    pub(super) async fn send(
        &self,
        attempts: Attempts,
        action: &'static str,
        request: Request,
    ) -> Result<Xml, CallError> {
        let Some(operations) = &self.operations else {
            return Err(CallError::new(action, Class::Stop, "no region is known"));
        };
        let operation = match attempts {
            Attempts::Repeated => &operations.repeated,
            Attempts::Single => &operations.single,
        };
        operation.invoke(request).await.map_err(|error| call_error(action, &error))
    }
}

/// Puts together what an SDK crate's client is made of.
fn operation(
    sdk: &SdkConfig,
    service: Service,
    endpoint: &Endpoint,
    clock_skew: SharedInterceptor,
    retries: &RetryConfig,
) -> Operation<Request, Xml, ErrorMetadata> {
    let mut settings = Layer::new("aws client");
    settings.store_put(SigningRegion::from(endpoint.signing_region.clone()));
    settings.store_put(SigningName::from_static(service.prefix));
    settings.store_put(SigV4OperationSigningConfig::default());
    settings.store_put(AuthSchemeOptionResolverParams::new(()));
    settings.store_put(ApiMetadata::new(service.prefix, service.version));
    if let Some(name) = sdk.app_name() {
        settings.store_put(name.clone());
    }

    let mut components = RuntimeComponentsBuilder::new("aws client")
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
        .service_name(service.id)
        .operation_name("Call")
        .endpoint_url(&endpoint.url)
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
    builder.serializer(http_request).deserializer(answer).build()
}

fn http_request(request: Request) -> Result<HttpRequest, aws_smithy_runtime_api::box_error::BoxError> {
    let Request { method, target, body } = request;
    let (headers, body) = match body {
        Some((content_type, body)) => (
            vec![("content-type", content_type.to_owned()), ("content-length", body.len().to_string())],
            body,
        ),
        None => (Vec::new(), String::new()),
    };
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method(method)?;
    request.set_uri(target)?;
    for (name, value) in headers {
        request.headers_mut().try_insert(name, value)?;
    }
    Ok(request)
}

/// Appends `text`, with everything escaped that is not one of RFC 3986's unreserved characters.
pub(super) fn encode(text: &str, into: &mut String) {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    into.extend(utf8_percent_encode(text, ESCAPED));
}

/// The answer's root, or the service's error.
fn answer(response: &HttpResponse) -> Result<Xml, OrchestratorError<ErrorMetadata>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return Xml::parse(body).map_err(OrchestratorError::other);
    }
    Err(OrchestratorError::operation(service_error(body)))
}

/// The error in the body of a refusal, in one of the three forms that the services use. Anything else has no code.
///
/// | form | which service |
/// |---|---|
/// | `<ErrorResponse><Error><Code/><Message/>` | all but EC2 |
/// | `<Response><Errors><Error><Code/><Message/>` | EC2 |
/// | `<InvalidChangeBatch><Messages><Message/>...` | Route 53, for each change of a batch that is wrong (`ChangeResourceRecordSets`, Errors, in its API reference) |
fn service_error(body: &[u8]) -> ErrorMetadata {
    const BATCH: &str = "InvalidChangeBatch";
    let metadata = ErrorMetadata::builder();
    let Ok(root) = Xml::parse(body) else {
        // Bounded and sanitised with every other message, by `call_error`.
        return metadata.message(String::from_utf8_lossy(body)).build();
    };
    if root.name() == BATCH {
        let messages: Vec<_> = root.list("Messages").map(Xml::text).collect();
        return metadata.code(BATCH).message(messages.join("; ")).build();
    }
    let error = root.child("Errors").unwrap_or(&root).child("Error");
    let text = |name| error.and_then(|error| error.text_of(name)).map(str::to_owned);
    let message = text("Message").unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    match text("Code") {
        Some(code) => metadata.code(code),
        None => metadata,
    }
    .message(message)
    .build()
}
