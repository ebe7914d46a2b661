//! Reads the options of `xrpc/v1/annotations.proto` from the descriptors.

use std::collections::BTreeMap;

use http::uri::PathAndQuery;
use prost_reflect::{
    DescriptorPool, ExtensionDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};
use proto::xrpc;

/// An rpc that serves an XRPC method.
pub(super) struct Rpc {
    /// `package.Service.Rpc`.
    pub(super) name: String,
    /// `/package.Service/Rpc`.
    pub(super) path: PathAndQuery,
    /// Whether the request or the response is a stream.
    pub(super) streaming: bool,
    pub(super) request: MessageDescriptor,
    pub(super) response: MessageDescriptor,
    pub(super) role: Roles,
    pub(super) error_domain: Option<String>,
    pub(super) errors: Vec<xrpc::Error>,
}

/// Reads the roles of fields.
#[derive(Debug, Clone)]
pub(super) struct Roles(Option<ExtensionDescriptor>);

impl Roles {
    /// The role of `field`. `Err` is the number of a role that this gateway does not know.
    pub(super) fn of(&self, field: &FieldDescriptor) -> Result<xrpc::Role, i32> {
        let Some(extension) = &self.0 else { return Ok(xrpc::Role::Unspecified) };
        let options = field.options();
        let number = options.get_extension(extension).as_enum_number().unwrap_or_default();
        xrpc::Role::try_from(number).map_err(|_| number)
    }
}

/// All rpcs with the option `(xrpc.v1.method)`, by NSID.
pub(super) fn annotated(pool: &DescriptorPool, problems: &mut Vec<String>) -> BTreeMap<String, Rpc> {
    let mut rpcs: BTreeMap<String, Rpc> = BTreeMap::new();
    let Some(method_option) = pool.get_extension_by_name("xrpc.v1.method") else {
        problems.push("descriptors: xrpc/v1/annotations.proto is not among them".to_owned());
        return rpcs;
    };
    let domain_option = pool.get_extension_by_name("xrpc.v1.error_domain");
    let roles = Roles(pool.get_extension_by_name("xrpc.v1.role"));

    for service in pool.services() {
        let error_domain = error_domain(&service, domain_option.as_ref());
        for method in service.methods() {
            let name = method.full_name();
            let annotation = match annotation(&method, &method_option) {
                Ok(Some(annotation)) => annotation,
                Ok(None) => continue,
                Err(problem) => {
                    problems.push(format!("`{name}`: its option (xrpc.v1.method): {problem}"));
                    continue;
                }
            };
            let xrpc::Method { nsid, errors } = annotation;
            if let Some(other) = rpcs.get(&nsid) {
                problems.push(format!("{nsid}: two rpcs serve it: `{}` and `{name}`", other.name));
                continue;
            }
            let path = format!("/{}/{}", service.full_name(), method.name());
            let Ok(path) = PathAndQuery::try_from(path) else {
                problems.push(format!("`{name}`: its name can't be in a path"));
                continue;
            };
            let rpc = Rpc {
                name: name.to_owned(),
                path,
                streaming: method.is_client_streaming() || method.is_server_streaming(),
                request: method.input(),
                response: method.output(),
                role: roles.clone(),
                error_domain: error_domain.clone(),
                errors,
            };
            rpcs.insert(nsid, rpc);
        }
    }
    rpcs
}

fn annotation(
    method: &MethodDescriptor,
    option: &ExtensionDescriptor,
) -> Result<Option<xrpc::Method>, String> {
    let options = method.options();
    if !options.has_extension(option) {
        return Ok(None);
    }
    let value = options.get_extension(option);
    let message = value.as_message().ok_or("no message")?;
    let annotation: xrpc::Method = message.transcode_to().map_err(|error| error.to_string())?;
    if annotation.nsid.is_empty() { Err("it names no NSID".to_owned()) } else { Ok(Some(annotation)) }
}

fn error_domain(service: &ServiceDescriptor, option: Option<&ExtensionDescriptor>) -> Option<String> {
    let options = service.options();
    let domain = options.get_extension(option?);
    domain.as_str().filter(|domain| !domain.is_empty()).map(str::to_owned)
}
