//! Condition keys whose state is known for any call (IAM User Guide, "AWS global condition context
//! keys"). What is not set here, and not by the operation's line in its service's table, is unknown.

use ::policy::Context;
use cloud::{Caller, Cx, Need, Needs, Origin};

use crate::credentials::{Session, is_of_session};
use crate::tags::Tags;

/// Keys that no call here can have: there are no organizations, no VPC endpoints, no federation, and no
/// device that proves a second factor.
const NEVER: &[&str] = &[
    "aws:AssumedRoot",
    "aws:ChatbotSourceArn",
    "aws:Ec2InstanceSourcePrivateIPv4",
    "aws:Ec2InstanceSourceVpc",
    "aws:FederatedProvider",
    "aws:MultiFactorAuthAge",
    "aws:PrincipalOrgID",
    "aws:PrincipalOrgPaths",
    "aws:ResourceOrgID",
    "aws:ResourceOrgPaths",
    "aws:SourceOrgID",
    "aws:SourceOrgPaths",
    "aws:SourceVpce",
    "aws:VpceAccount",
    "aws:VpceOrgID",
    "aws:VpceOrgPaths",
];

/// What is known of a call whoever makes it, and of the session that it is made in.
pub fn of_call(cx: &Cx, session: Option<&Session>) -> Context {
    let mut context = Context::new();
    for name in NEVER {
        context.set_absent(name);
    }
    let now = cx.clock().now().floor();
    context.set("aws:RequestedRegion", &cx.region);
    context.set("aws:CurrentTime", wire::Timestamp(now).to_string());
    context.set("aws:EpochTime", format!("{now}"));
    // A service that calls in its own name does not come from where its client does.
    match cx.caller {
        Caller::Service(_) => set_origin(&mut context, &Origin::Internal),
        _ => set_origin(&mut context, &cx.origin),
    }
    set_service(&mut context, cx);
    set_session(&mut context, cx, session);
    context
}

/// Where the call comes from.
fn set_origin(context: &mut Context, origin: &Origin) {
    let Origin::Client(client) = origin else {
        // What does not leave the machine cannot be listened to. Where it would come from on AWS is
        // not known.
        context.set("aws:SecureTransport", "true");
        context.set_absent("aws:SourceVpc");
        return;
    };
    context.set("aws:SecureTransport", client.is_private().to_string());
    context.set_or_absent("aws:UserAgent", client.user_agent.as_ref());
    match (&client.inside, client.address) {
        // As from within a VPC on AWS: it is told which, and its addresses are those of the VPC.
        (Some(inside), _) => {
            context.set_or_absent("aws:SourceVpc", inside.vpc.as_ref());
            context.set_absent("aws:SourceIp");
        }
        (None, Some(address)) => {
            context.set("aws:SourceIp", address.to_canonical().to_string());
            context.set_absent("aws:SourceVpc");
            context.set_absent("aws:VpcSourceIp");
        }
        (None, None) => {}
    }
}

/// Whether a service calls, and for whom.
fn set_service(context: &mut Context, cx: &Cx) {
    if let Caller::Service(name) = cx.caller {
        context.set("aws:PrincipalIsAWSService", "true");
        context.set("aws:PrincipalServiceName", name);
        context.set_all("aws:PrincipalServiceNamesList", [name]);
        // It works for something of this account.
        context.set("aws:SourceAccount", cx.account());
        if let Some(arn) = &cx.source_arn {
            context.set("aws:SourceArn", arn);
        }
        context.set("aws:ViaAWSService", "false");
        return;
    }
    context.set("aws:PrincipalIsAWSService", "false");
    for name in [
        "aws:PrincipalServiceName",
        "aws:PrincipalServiceNamesList",
        "aws:SourceAccount",
        "aws:SourceArn",
    ] {
        context.set_absent(name);
    }
    // A service that acts with a role of its own makes the call itself, as far as AWS tells it.
    let acts_for_somebody = cx.acts && !is_service_role(&cx.caller);
    context.set("aws:ViaAWSService", acts_for_somebody.to_string());
    let names = ["aws:CalledVia", "aws:CalledViaFirst", "aws:CalledViaLast"];
    match cx.via.filter(|_| acts_for_somebody) {
        Some(service) => names.map(|it| context.set_all(it, [service])),
        None if acts_for_somebody => return,
        None => names.map(|it| context.set_absent(it)),
    };
}

/// Whether a service acts with a role that it assumes anew for what it does.
fn is_service_role(caller: &Caller) -> bool {
    matches!(caller, Caller::AssumedRole { role_id: None, .. })
}

/// What temporary keys have and others have not. Nobody signs in with a second factor here.
fn set_session(context: &mut Context, cx: &Cx, session: Option<&Session>) {
    let access_key = match &cx.caller {
        Caller::User { access_key, .. }
        | Caller::AssumedRole { access_key, .. }
        | Caller::RootSession { access_key } => access_key,
        Caller::Root(_) | Caller::Daemon | Caller::Service(_) | Caller::Anonymous => "",
    };
    let is_session = is_of_session(access_key) || is_service_role(&cx.caller);
    let mut source_identity = None;
    if is_session {
        context.set("aws:MultiFactorAuthPresent", "false");
        let issued_ms = match is_service_role(&cx.caller) {
            true => Some(cx.clock().now_ms()),
            false => {
                source_identity = session.and_then(|it| it.extras.source_identity.as_ref());
                session.and_then(|it| it.issued_ms)
            }
        };
        if let Some(ms) = issued_ms {
            let issued = wire::Timestamp((ms / 1000) as f64);
            context.set("aws:TokenIssueTime", issued.to_string());
        }
    } else if !access_key.is_empty() || !cx.acts {
        context.set_absent("aws:MultiFactorAuthPresent");
        context.set_absent("aws:TokenIssueTime");
    }
    context.set_or_absent("aws:SourceIdentity", source_identity);
}

/// Who calls, as every service is told.
pub struct PrincipalKeys<'a> {
    pub account: &'a str,
    /// Of the user or role itself.
    pub arn: Option<&'a str>,
    pub kind: &'a str,
    pub user_id: Option<&'a str>,
    /// Of a user.
    pub name: Option<&'a str>,
    pub tags: &'a Tags,
}

impl PrincipalKeys<'_> {
    pub fn add_to(&self, context: &mut Context) {
        context.set("aws:PrincipalAccount", self.account);
        context.set("aws:PrincipalType", self.kind);
        context.set_or_absent("aws:PrincipalArn", self.arn);
        context.set_or_absent("aws:userid", self.user_id);
        context.set_or_absent("aws:username", self.name);
        context.set_tags("aws:PrincipalTag", self.tags);
    }
}

/// What is known of one need of a call.
pub fn add_need(context: &mut Context, account: &str, need: &Need, needs: &Needs) {
    let service = need.action.split(':').next().unwrap_or_default();
    let services = services_of(service);
    context.know_services(&services);
    context.set_tags("aws:RequestTag", &needs.request_tags);
    context.set_all("aws:TagKeys", &needs.tag_keys);
    let families = services.into_iter().chain(["aws"]);
    let families = families.map(|it| format!("{it}:ResourceTag"));
    match &need.resource {
        None => families.for_each(|it| context.know_family(&it)),
        Some(touched) if !touched.is_any => {
            let owner = touched.arn.split(':').nth(4).unwrap_or_default();
            let owner = if owner.is_empty() { account } else { owner };
            context.set("aws:ResourceAccount", owner);
            if let Some(tags) = &touched.tags {
                families.for_each(|it| context.set_tags(&it, tags));
            }
        }
        Some(_) => {}
    }
    if service == "iam" {
        context.set_or_absent("iam:PassedToService", need.passed_to);
    }
    // Those of the resource itself count before those of the call.
    let own = need.resource.iter().flat_map(|it| &it.keys);
    context.lack(need.lacking);
    for key in need.keys.iter().chain(own) {
        match key.family() {
            // All of a family is known: what does not follow is absent.
            Some(family) => context.know_family(family),
            None => context.set_all(&key.name, key.values.iter().flatten()),
        }
    }
}

/// The services whose keys a call of one has.
fn services_of(service: &str) -> Vec<&str> {
    match service {
        // One service under two names.
        "codeconnections" | "codestar-connections" => {
            vec!["codeconnections", "codestar-connections"]
        }
        // A role's tags are told under both names.
        "sts" => vec!["sts", "iam"],
        other => vec![other],
    }
}
