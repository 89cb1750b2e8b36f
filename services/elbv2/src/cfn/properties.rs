//! Property tables that more than one type uses.

use cloud::Property;

pub const KEY_VALUE: &[Property] = &[Property::text("Key"), Property::text("Value")];

pub const CERTIFICATE: &[Property] = &[Property::text("CertificateArn")];

const FORWARD: &[Property] = &[
    Property::objects("TargetGroups").members(
        const {
            &[
                Property::text("TargetGroupArn").required(),
                Property::number("Weight"),
            ]
        },
    ),
    Property::object("TargetGroupStickinessConfig").members(
        const {
            &[
                Property::flag("Enabled"),
                Property::number("DurationSeconds"),
            ]
        },
    ),
];
const REDIRECT: &[Property] = &[
    Property::text("Host"),
    Property::text("Path"),
    Property::text("Port"),
    Property::text("Protocol"),
    Property::text("Query"),
    Property::text("StatusCode").required(),
];
const FIXED: &[Property] = &[
    Property::text("ContentType"),
    Property::text("MessageBody"),
    Property::text("StatusCode").required(),
];

pub const ACTION: &[Property] = &[
    Property::object("FixedResponseConfig").members(FIXED),
    Property::object("ForwardConfig").members(FORWARD),
    Property::number("Order"),
    Property::object("RedirectConfig").members(REDIRECT),
    Property::text("TargetGroupArn"),
    Property::text("Type").required(),
];

const VALUES: &[Property] = &[Property::texts("Values")];
const HEADER: &[Property] = &[Property::text("HttpHeaderName"), Property::texts("Values")];
const QUERY: &[Property] = &[Property::objects("Values").members(KEY_VALUE)];

pub const CONDITION: &[Property] = &[
    Property::text("Field"),
    Property::object("HostHeaderConfig").members(VALUES),
    Property::object("HttpHeaderConfig").members(HEADER),
    Property::object("HttpRequestMethodConfig").members(VALUES),
    Property::object("PathPatternConfig").members(VALUES),
    Property::object("QueryStringConfig").members(QUERY),
    Property::object("SourceIpConfig").members(VALUES),
    Property::texts("Values"),
];
