//! Property tables that more than one type uses.

use cloud::Property;

pub const KEY_VALUE: &[Property] = &[Property::new("Key"), Property::new("Value")];

const FORWARD: &[Property] = &[
    Property::new("TargetGroups").members(
        const {
            &[
                Property::new("TargetGroupArn").required(),
                Property::new("Weight"),
            ]
        },
    ),
    Property::new("TargetGroupStickinessConfig")
        .members(const { &[Property::new("Enabled"), Property::new("DurationSeconds")] }),
];
const REDIRECT: &[Property] = &[
    Property::new("Host"),
    Property::new("Path"),
    Property::new("Port"),
    Property::new("Protocol"),
    Property::new("Query"),
    Property::new("StatusCode").required(),
];
const FIXED: &[Property] = &[
    Property::new("ContentType"),
    Property::new("MessageBody"),
    Property::new("StatusCode").required(),
];

pub const ACTION: &[Property] = &[
    Property::new("FixedResponseConfig").members(FIXED),
    Property::new("ForwardConfig").members(FORWARD),
    Property::new("Order"),
    Property::new("RedirectConfig").members(REDIRECT),
    Property::new("TargetGroupArn"),
    Property::new("Type").required(),
];

const VALUES: &[Property] = &[Property::new("Values")];
const HEADER: &[Property] = &[Property::new("HttpHeaderName"), Property::new("Values")];
const QUERY: &[Property] = &[Property::new("Values").members(KEY_VALUE)];

pub const CONDITION: &[Property] = &[
    Property::new("Field"),
    Property::new("HostHeaderConfig").members(VALUES),
    Property::new("HttpHeaderConfig").members(HEADER),
    Property::new("HttpRequestMethodConfig").members(VALUES),
    Property::new("PathPatternConfig").members(VALUES),
    Property::new("QueryStringConfig").members(QUERY),
    Property::new("SourceIpConfig").members(VALUES),
    Property::new("Values"),
];
