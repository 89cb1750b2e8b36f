//! A service is a table of operations; an operation is named by its input type.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use wire::{Error, ErrorCode, How, Node, Operation, Protocol, ServiceModel, Style, Value};

use crate::permission::{Described, Permission, Touched};
use crate::{
    Cx, LendCertificate, LendLogin, LendPrincipals, LendRole, LendServers, LendTrust, Reconciler,
    ResourceType, Watch,
};

pub(crate) type Reply<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;
pub(crate) type Typed<I> = Box<dyn Fn(Cx, I) -> Reply<<I as Operation>::Output> + Send + Sync>;
pub(crate) type Untyped = Box<dyn Fn(Cx, Node, Form) -> Reply<Node> + Send + Sync>;

/// How an input stands in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the service's protocol writes it.
    Wire,
    /// As JSON with the names of answers, whatever the protocol.
    Json,
}

pub(crate) struct Entry {
    /// For a request from the network: decodes, validates, runs, encodes.
    pub untyped: Untyped,
    /// The same function as a [`Typed`] of its input.
    pub typed: Box<dyn Any + Send + Sync>,
    /// What it needs permission for.
    pub described: Described,
    /// Which members of its input it takes.
    pub takes: fn() -> Node,
}

/// Structures hold one another no deeper where a request is read.
const OUTLINE_DEPTH: u8 = 12;

/// Everything that a service brings: built once at start-up.
pub struct Service {
    pub(crate) model: &'static ServiceModel,
    pub(crate) operations: BTreeMap<&'static str, Entry>,
    pub(crate) reconcilers: Vec<Arc<dyn Reconciler>>,
    pub(crate) resource_types: Vec<Arc<dyn ResourceType>>,
    pub(crate) watches: Vec<Watch>,
    pub(crate) follows: Vec<Follow>,
    pub(crate) find: Option<fn(&Cx, &str) -> Touched>,
    pub(crate) role: Option<LendRole>,
    pub(crate) trust: Option<LendTrust>,
    pub(crate) principals: Option<LendPrincipals>,
    pub(crate) login: Option<LendLogin>,
    pub(crate) certificate: Option<LendCertificate>,
    pub(crate) servers: Option<LendServers>,
    dry_run: Option<ErrorCode>,
    action_prefix: &'static str,
}

/// Members of inputs are written by the names of answers, some of which begin with a small letter.
fn would_succeed(answer: ErrorCode) -> Error {
    answer.because("Request would have succeeded, but DryRun flag is set.")
}

fn is_dry(input: &Node) -> bool {
    let flag = input.member("DryRun").or_else(|| input.member("dryRun"));
    flag == Some(&Node::Bool(true))
}

/// A kind of record, of this service or another, whose changes concern a key of this one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Follow {
    pub changed: &'static str,
    pub kind: &'static str,
    pub key: &'static str,
}

impl Service {
    pub fn new(model: &'static ServiceModel) -> Self {
        Self {
            model,
            operations: BTreeMap::new(),
            reconcilers: Vec::new(),
            resource_types: Vec::new(),
            watches: Vec::new(),
            follows: Vec::new(),
            find: None,
            role: None,
            trust: None,
            principals: None,
            login: None,
            certificate: None,
            servers: None,
            dry_run: None,
            action_prefix: model.signing_name,
        }
    }

    /// What the names of the service's IAM actions begin with, where that is not its signing name.
    #[must_use]
    pub fn action_prefix(mut self, prefix: &'static str) -> Self {
        self.action_prefix = prefix;
        self
    }

    /// Inputs have a member `DryRun`: a valid request with it is not carried out and answered with
    /// this error, as EC2 does when the caller has the permission.
    #[must_use]
    pub fn dry_run(mut self, answer: ErrorCode) -> Self {
        self.dry_run = Some(answer);
        self
    }

    /// Adds the operation whose input `handler` takes, and what a call of it needs permission for.
    #[must_use]
    pub fn on<I, F>(self, handler: fn(Cx, I) -> F, permission: Permission<I>) -> Self
    where
        I: Operation + Send + 'static,
        F: Future<Output = Result<I::Output, Error>> + Send + 'static,
    {
        let prefix = self.action_prefix;
        let described = permission.described(prefix);
        let permission = Arc::new(permission);
        let model = self.model;
        let permit = move |cx: &Cx, input: &I| {
            let needs = permission.needs(cx, prefix, input);
            if let Some(key) = &needs.repeated_tag {
                let why = format!("Duplicate tag keys found: {key}. Each key may be given once.");
                return Err(model.validation.because(why));
            }
            cx.authorize(I::SERVICE, &needs)
        };
        self.add(handler, permit, described)
    }

    fn add<I, F, P>(mut self, handler: fn(Cx, I) -> F, permit: P, described: Described) -> Self
    where
        I: Operation + Send + 'static,
        F: Future<Output = Result<I::Output, Error>> + Send + 'static,
        P: Fn(&Cx, &I) -> Result<(), Error> + Clone + Send + Sync + 'static,
    {
        assert_eq!(
            I::SERVICE,
            self.model.signing_name,
            "{} belongs to another service",
            I::NAME
        );
        let (model, dry_run) = (self.model, self.dry_run);
        let permit_typed = permit.clone();
        let untyped: Untyped = Box::new(move |cx, node, form| {
            let decoded = match form {
                Form::Wire => wire::decode_input::<I>(model, node),
                Form::Json => wire::decode::<I>(node, Style::Own)
                    .map_err(|error| wire::forbidden(model, I::NAME, &error)),
            };
            let permitted = decoded.and_then(|input| {
                permit(&cx, &input)?;
                Ok(input)
            });
            Box::pin(async move {
                let input = permitted?;
                if let Some(answer) = dry_run
                    && is_dry(&input.get())
                {
                    return Err(would_succeed(answer));
                }
                let output = handler(cx, input).await?;
                // EC2 leaves no list out (its clients look into them without asking).
                Ok(match model.protocol {
                    Protocol::Ec2 { .. } => output.get_as(How::Whole),
                    _ => output.get(),
                })
            })
        });
        let typed: Typed<I> = Box::new(move |mut cx, input| {
            let permitted = match cx.acts {
                true => permit_typed(&cx, &input),
                false => Ok(()),
            };
            // What the operation calls in its turn is the service's own.
            cx.acts = false;
            Box::pin(async move {
                permitted?;
                if let Some(answer) = dry_run
                    && is_dry(&input.get())
                {
                    return Err(would_succeed(answer));
                }
                handler(cx, input).await
            })
        });
        let clash = self.operations.insert(
            I::NAME,
            Entry {
                untyped,
                typed: Box::new(typed),
                described,
                takes: || {
                    I::default().get_as(How::Outline {
                        depth: OUTLINE_DEPTH,
                    })
                },
            },
        );
        assert!(clash.is_none(), "{} is in the table twice", I::NAME);
        self
    }

    /// Adds what makes one kind of record real.
    #[must_use]
    pub fn reconciles(mut self, reconciler: impl Reconciler + 'static) -> Self {
        self.reconcilers.push(Arc::new(reconciler));
        self
    }

    /// Adds something of the engine to listen to.
    #[must_use]
    pub fn watches(mut self, watch: Watch) -> Self {
        self.watches.push(watch);
        self
    }

    /// Wakes `key` of `kind` whenever a record of the kind `changed` changes. The other service's
    /// record is not read: what it means is asked of its operations.
    #[must_use]
    pub fn follows(mut self, changed: &'static str, kind: &'static str, key: &'static str) -> Self {
        self.follows.push(Follow { changed, kind, key });
        self
    }

    /// Lends what an action touches, by the name that the service's resources go by, to services that ask for
    /// actions of this one in a role's name without calling an operation.
    #[must_use]
    pub fn finds(mut self, find: fn(&Cx, &str) -> Touched) -> Self {
        self.find = Some(find);
        self
    }

    /// Lends the account's roles, by their names: see [`Cx::find_role`].
    #[must_use]
    pub fn lends_roles(mut self, role: LendRole) -> Self {
        self.role = Some(role);
        self
    }

    /// Lends whom the account's roles trust: see [`Cx::may_assume`].
    #[must_use]
    pub fn lends_trust(mut self, trust: LendTrust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Lends the two ways between the ARNs and the ids of the account's users and roles: see
    /// [`Cx::keep_policy`].
    #[must_use]
    pub fn lends_principals(mut self, principals: LendPrincipals) -> Self {
        self.principals = Some(principals);
        self
    }

    /// Lends what servers are shown for a connection, by the connection's ARN: see [`Cx::find_login`].
    #[must_use]
    pub fn lends_logins(mut self, login: LendLogin) -> Self {
        self.login = Some(login);
        self
    }

    /// Lends certificates with their keys, by their ARNs: see [`Cx::find_certificate`].
    #[must_use]
    pub fn lends_certificates(mut self, certificate: LendCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Lends what of this service serves with a certificate: see [`Cx::servers_with`].
    #[must_use]
    pub fn lends_servers(mut self, servers: LendServers) -> Self {
        self.servers = Some(servers);
        self
    }

    /// Adds a type that CloudFormation may create.
    #[must_use]
    pub fn resource(mut self, resource_type: impl ResourceType + 'static) -> Self {
        self.resource_types.push(Arc::new(resource_type));
        self
    }

    pub fn model(&self) -> &'static ServiceModel {
        self.model
    }

    /// Names of the operations that this build answers.
    pub fn operations(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.operations.keys().copied()
    }

    /// What each operation of this build needs permission for.
    pub fn permissions(&self) -> impl Iterator<Item = (&'static str, &Described)> + '_ {
        self.operations
            .iter()
            .map(|(name, entry)| (*name, &entry.described))
    }

    /// Which members of its input an operation of this build takes: `true` or what stands in it, `false` for
    /// one that is refused, and a text for one that is refused but with that value.
    pub fn takes(&self, operation: &str) -> Option<Node> {
        self.operations.get(operation).map(|entry| (entry.takes)())
    }

    /// The types that it lends to CloudFormation.
    pub fn resource_types(&self) -> impl Iterator<Item = &dyn ResourceType> + '_ {
        self.resource_types
            .iter()
            .map(|it| &**it as &dyn ResourceType)
    }
}
