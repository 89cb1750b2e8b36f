//! Answers: a tree or an error, as the bytes of the service's protocol.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::cbor::write_cbor;
use crate::error::{Error, Fault};
use crate::json::write_json;
use crate::model::Protocol;
use crate::node::Node;
use crate::xml::{close, open, push_escaped, write_content, write_text_element};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// By these a client of Smithy's RPC knows that the answer is one.
pub(crate) const SMITHY_PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");
pub(crate) const RPC_V2_CBOR: &str = "rpc-v2-cbor";

/// What lists' members are called in XML.
const QUERY_ITEM: &str = "member";
const EC2_ITEM: &str = "item";

/// The answer of an operation that succeeded, in the caller's protocol.
pub fn answer(
    protocol: Protocol,
    operation: &str,
    request_id: &str,
    output: &Node,
) -> Response<Bytes> {
    let body = match protocol {
        Protocol::Cbor => {
            return response(StatusCode::OK, protocol, request_id, cbor(output));
        }
        Protocol::Json { .. } | Protocol::RestJson => write_json(output).to_string(),
        Protocol::Query { xml_namespace } => {
            query_answer(operation, xml_namespace, request_id, output)
        }
        Protocol::Ec2 { xml_namespace } => ec2_answer(operation, xml_namespace, request_id, output),
        Protocol::RestXml | Protocol::S3 => {
            let mut out = String::new();
            write_content(&mut out, output, QUERY_ITEM);
            out
        }
    };
    response(StatusCode::OK, protocol, request_id, body.into_bytes())
}

fn query_answer(operation: &str, xml_namespace: &str, request_id: &str, output: &Node) -> String {
    let (outer, inner) = (format!("{operation}Response"), format!("{operation}Result"));
    let mut out = String::new();
    open_with_namespace(&mut out, &outer, xml_namespace);
    open(&mut out, &inner);
    write_content(&mut out, output, QUERY_ITEM);
    close(&mut out, &inner);
    open(&mut out, "ResponseMetadata");
    write_text_element(&mut out, "RequestId", request_id);
    close(&mut out, "ResponseMetadata");
    close(&mut out, &outer);
    out
}

fn ec2_answer(operation: &str, xml_namespace: &str, request_id: &str, output: &Node) -> String {
    let outer = format!("{operation}Response");
    let mut out = String::new();
    open_with_namespace(&mut out, &outer, xml_namespace);
    write_text_element(&mut out, "requestId", request_id);
    write_content(&mut out, output, EC2_ITEM);
    close(&mut out, &outer);
    out
}

fn open_with_namespace(out: &mut String, name: &str, xml_namespace: &str) {
    out.push('<');
    out.push_str(name);
    if !xml_namespace.is_empty() {
        out.push_str(" xmlns=\"");
        push_escaped(out, xml_namespace);
        out.push('"');
    }
    out.push('>');
}

/// The answer of an operation that failed, or of a request that reached none.
pub fn refuse(protocol: Protocol, request_id: &str, error: &Error) -> Response<Bytes> {
    let body = match protocol {
        Protocol::Cbor => cbor(&error_node(error)),
        Protocol::Json { .. } | Protocol::RestJson => {
            write_json(&error_node(error)).to_string().into_bytes()
        }
        Protocol::Query { xml_namespace } => {
            query_error(xml_namespace, request_id, error).into_bytes()
        }
        Protocol::Ec2 { .. } => ec2_error(request_id, error).into_bytes(),
        Protocol::RestXml => query_error("", request_id, error).into_bytes(),
        Protocol::S3 => s3_error(request_id, error).into_bytes(),
    };
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = response(status, protocol, request_id, body);
    let json = matches!(protocol, Protocol::Json { .. } | Protocol::RestJson);
    if json {
        response
            .headers_mut()
            .insert(ERROR_TYPE, HeaderValue::from_static(error.shape));
    }
    if (json || protocol == Protocol::Cbor) && error.shape != error.code {
        // A service that was spoken to in forms once: its clients go on to know its codes.
        let fault = match error.fault {
            Fault::Sender => "Sender",
            Fault::Receiver => "Receiver",
        };
        if let Ok(value) = HeaderValue::from_str(&format!("{};{fault}", error.code)) {
            response.headers_mut().insert(QUERY_ERROR, value);
        }
    }
    response
}

fn error_node(error: &Error) -> Node {
    let mut members = vec![
        ("__type".into(), Node::text(error.shape)),
        (
            error.message_member.into(),
            Node::text(error.message.as_str()),
        ),
    ];
    members.extend(
        error
            .members
            .iter()
            .map(|(name, node)| ((*name).into(), node.clone())),
    );
    Node::Map(members)
}

fn cbor(node: &Node) -> Vec<u8> {
    let mut out = Vec::new();
    write_cbor(&mut out, node);
    out
}

fn query_error(xml_namespace: &str, request_id: &str, error: &Error) -> String {
    let mut out = String::new();
    open_with_namespace(&mut out, "ErrorResponse", xml_namespace);
    open(&mut out, "Error");
    write_text_element(
        &mut out,
        "Type",
        match error.fault {
            Fault::Sender => "Sender",
            Fault::Receiver => "Receiver",
        },
    );
    write_error_members(&mut out, error);
    close(&mut out, "Error");
    write_text_element(&mut out, "RequestId", request_id);
    close(&mut out, "ErrorResponse");
    out
}

fn ec2_error(request_id: &str, error: &Error) -> String {
    let mut out = String::new();
    open(&mut out, "Response");
    open(&mut out, "Errors");
    open(&mut out, "Error");
    write_error_members(&mut out, error);
    close(&mut out, "Error");
    close(&mut out, "Errors");
    write_text_element(&mut out, "RequestID", request_id);
    close(&mut out, "Response");
    out
}

fn s3_error(request_id: &str, error: &Error) -> String {
    let mut out = String::new();
    open(&mut out, "Error");
    write_error_members(&mut out, error);
    write_text_element(&mut out, "RequestId", request_id);
    close(&mut out, "Error");
    out
}

fn write_error_members(out: &mut String, error: &Error) {
    write_text_element(out, "Code", error.code);
    write_text_element(out, "Message", &error.message);
    for (name, node) in &error.members {
        open(out, name);
        write_content(out, node, QUERY_ITEM);
        close(out, name);
    }
}

fn response(
    status: StatusCode,
    protocol: Protocol,
    request_id: &str,
    body: Vec<u8>,
) -> Response<Bytes> {
    let (content_type, body) = match protocol {
        Protocol::Json { version: "1.0", .. } => ("application/x-amz-json-1.0", body),
        Protocol::Json { .. } => ("application/x-amz-json-1.1", body),
        Protocol::RestJson => ("application/json", body),
        Protocol::Cbor => ("application/cbor", body),
        Protocol::Query { .. } => ("text/xml", body),
        Protocol::Ec2 { .. } => ("text/xml;charset=UTF-8", with_declaration(body)),
        Protocol::RestXml | Protocol::S3 => ("application/xml", with_declaration(body)),
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if protocol == Protocol::Cbor {
        response
            .headers_mut()
            .insert(SMITHY_PROTOCOL, HeaderValue::from_static(RPC_V2_CBOR));
    }
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, request_id);
    }
    response
}

fn with_declaration(body: Vec<u8>) -> Vec<u8> {
    [
        b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".as_slice(),
        &body,
    ]
    .concat()
}
