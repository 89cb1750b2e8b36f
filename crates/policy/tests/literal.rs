//! `decide` against a slow and literal reading of AWS's evaluation logic, on random policies and
//! requests.
//!
//! The literal reading knows no third value: it takes every key to be absent or to have values. What is
//! unknown it tries in every way that a small world has, so that "allowed although something is
//! unknown" means allowed whatever it may be. It shares no code with the crate.

use policy::{
    Attached, Context, Decision, Document, Kind, Outcome, Principal, Request, Resource, decide,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value as Json, json};

const KEYS: [&str; 4] = ["x:a", "x:b", "aws:ResourceTag/c", "x:many"];
const MANY: usize = 3;
/// What a key may be; no value at all is absence.
const SINGLE: [&[&str]; 4] = [&[], &["a"], &["1"], &["true"]];
const SEVERAL: [&[&str]; 4] = [&[], &["a"], &["1", "a"], &[""]];

const ACCOUNT: &str = "000000000000";
const ANN: &str = "arn:aws:iam::000000000000:user/ann";
const ROLE: &str = "arn:aws:iam::000000000000:role/build";
const SESSION: &str = "arn:aws:sts::000000000000:assumed-role/build/s";
const SERVICE: &str = "codebuild.amazonaws.com";
const PRINCIPALS: [&str; 7] = [
    "*",
    ACCOUNT,
    "arn:aws:iam::000000000000:root",
    ANN,
    ROLE,
    SESSION,
    SERVICE,
];
const ACTIONS: [&str; 6] = [
    "*",
    "s3:*",
    "S3:get*",
    "s3:GetObject",
    "s3:PutObject",
    "iam:*",
];
const NAMES: [&str; 6] = ["a", "ab", "b", "1", "true", ""];
const RESOURCES: [&str; 6] = [
    "*",
    "arn:aws:s3:::a",
    "arn:aws:s3:::a*",
    "arn:aws:s3:::?",
    "arn:aws:s3:::${x:b}",
    "arn:aws:s3:::${x:a, 'b'}*",
];

/// What a key is in one world.
type Assignment = [&'static [&'static str]; 4];

#[derive(Debug, Clone, PartialEq)]
struct RandomCondition {
    key: usize,
    set: &'static str,
    operator: &'static str,
    if_exists: &'static str,
    values: Vec<&'static str>,
}

#[derive(Debug, Clone)]
struct RandomStatement {
    allows: bool,
    not_principal: bool,
    principals: Vec<&'static str>,
    not_action: bool,
    actions: Vec<&'static str>,
    not_resource: bool,
    resources: Vec<&'static str>,
    conditions: Vec<RandomCondition>,
}

#[derive(Debug, Clone)]
struct World {
    who: Principal,
    own: Vec<RandomStatement>,
    attached: Vec<RandomStatement>,
    /// `None`, `Grants`, `MustGrant`.
    how: usize,
    action: &'static str,
    resource: String,
    /// The index of what a key is, or that it is unknown.
    keys: [Option<usize>; 4],
}

fn some_of(all: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(all, 1..=2)
}

fn condition() -> impl Strategy<Value = RandomCondition> {
    let texts: &'static [&'static str] = &[
        "a",
        "1",
        "*",
        "a*",
        "?",
        "${x:b}",
        "${x:b, 'a'}",
        "${aws:resourcetag/C}",
    ];
    let of_text = select(vec![
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIgnoreCase",
        "StringLike",
        "StringNotLike",
    ]);
    let of_number = select(vec![
        "NumericEquals",
        "NumericNotEquals",
        "NumericLessThan",
        "NumericGreaterThanEquals",
    ]);
    let test = prop_oneof![
        4 => (of_text, some_of(texts)),
        1 => (of_number, some_of(&["0", "1", "2"])),
        1 => (Just("Bool"), some_of(&["true", "FALSE"])),
        1 => (Just("Null"), some_of(&["true", "false"])),
    ];
    let sets = select(vec!["", "ForAllValues:", "ForAnyValue:"]);
    let if_exists = select(vec!["", "", "IfExists"]);
    (0..KEYS.len(), test, sets, if_exists).prop_map(|(key, (operator, values), set, if_exists)| {
        let is_null = operator == "Null";
        let set = match set {
            _ if is_null => "",
            // An operator for one value is not asked about several.
            "" if key == MANY => "ForAnyValue:",
            set => set,
        };
        RandomCondition {
            key,
            set,
            operator,
            if_exists: if is_null { "" } else { if_exists },
            values,
        }
    })
}

fn statement() -> impl Strategy<Value = RandomStatement> {
    let rarely = || prop::bool::weighted(0.2);
    (
        prop::bool::weighted(0.7),
        (rarely(), some_of(&PRINCIPALS)),
        (rarely(), some_of(&ACTIONS)),
        (rarely(), some_of(&RESOURCES)),
        prop::collection::vec(condition(), 0..=2),
    )
        .prop_map(|(allows, principals, actions, resources, mut conditions)| {
            // JSON has each name once.
            let name = |it: &RandomCondition| (it.key, it.set, it.operator, it.if_exists);
            if conditions.len() == 2 && name(&conditions[0]) == name(&conditions[1]) {
                conditions.pop();
            }
            RandomStatement {
                allows,
                not_principal: principals.0,
                principals: principals.1,
                not_action: actions.0,
                actions: actions.1,
                not_resource: resources.0,
                resources: resources.1,
                conditions,
            }
        })
}

fn principal() -> impl Strategy<Value = Principal> {
    let account = || ACCOUNT.to_owned();
    let user = Principal::User {
        account: account(),
        arn: ANN.into(),
        id: "AIDA".into(),
    };
    let session = Principal::Session {
        account: account(),
        role_arn: ROLE.into(),
        role_id: "AROA".into(),
        session_arn: SESSION.into(),
    };
    select(vec![
        user.clone(),
        user,
        session.clone(),
        session,
        Principal::Owner { account: account() },
        Principal::Anonymous,
        Principal::Service {
            name: SERVICE.into(),
        },
    ])
}

fn world() -> impl Strategy<Value = World> {
    (
        principal(),
        prop::collection::vec(statement(), 1..=3),
        prop::collection::vec(statement(), 1..=3),
        0..3_usize,
        select(vec!["s3:GetObject", "s3:PutObject"]),
        select(NAMES.to_vec()),
        prop::array::uniform4(prop_oneof![Just(None), (0..4_usize).prop_map(Some)]),
    )
        .prop_map(|(who, own, attached, how, action, name, keys)| World {
            who,
            own,
            attached,
            how,
            action,
            resource: format!("arn:aws:s3:::{name}"),
            keys,
        })
}

// What the crate is given.

impl RandomStatement {
    fn json(&self, has_principal: bool) -> Json {
        let effect = if self.allows { "Allow" } else { "Deny" };
        let name = |not: bool, it: &str| {
            if not {
                format!("Not{it}")
            } else {
                it.to_owned()
            }
        };
        let mut json = json!({"Effect": effect});
        json[name(self.not_action, "Action")] = json!(self.actions);
        json[name(self.not_resource, "Resource")] = json!(self.resources);
        if has_principal {
            let (services, others): (Vec<_>, Vec<_>) = self
                .principals
                .iter()
                .copied()
                .partition(|it| *it == SERVICE);
            json[name(self.not_principal, "Principal")] = match services.is_empty() {
                true => json!({"AWS": others}),
                false => json!({"AWS": others, "Service": services}),
            };
        }
        let mut operators: Map<String, Json> = Map::new();
        for it in &self.conditions {
            let operator = format!("{}{}{}", it.set, it.operator, it.if_exists);
            let keys = operators.entry(operator).or_insert_with(|| json!({}));
            keys[KEYS[it.key]] = json!(it.values);
        }
        json["Condition"] = json!(operators);
        json
    }
}

fn document(statements: &[RandomStatement], kind: Kind) -> Document {
    let statements: Vec<Json> = (statements.iter())
        .map(|it| it.json(kind != Kind::Identity))
        .collect();
    let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    Document::parse(&text, kind).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn domain(key: usize) -> [&'static [&'static str]; 4] {
    if key == MANY { SEVERAL } else { SINGLE }
}

impl World {
    fn decide(&self, resource: Resource<'_>) -> Decision {
        let mut context = Context::new();
        for (key, known) in self.keys.iter().enumerate() {
            if let Some(at) = known {
                context.set_all(KEYS[key], domain(key)[*at].iter().copied());
            }
        }
        let own = match self.who {
            Principal::User { .. } | Principal::Session { .. } => {
                vec![document(&self.own, Kind::Identity)]
            }
            _ => Vec::new(),
        };
        let attached = document(&self.attached, Kind::Resource);
        let request = Request {
            action: self.action,
            resource,
            principal: &self.who,
            context: &context,
        };
        let attached = match self.how {
            0 => Attached::None,
            1 => Attached::Grants(&attached),
            _ => Attached::MustGrant(&attached),
        };
        decide(&request, &own, attached)
    }

    /// All worlds in which what is unknown is something.
    fn assignments(&self) -> Vec<Assignment> {
        let mut all: Vec<Assignment> = vec![[&[]; 4]];
        for (key, known) in self.keys.iter().enumerate() {
            let choices: Vec<&'static [&'static str]> = match known {
                Some(at) => vec![domain(key)[*at]],
                None => domain(key).to_vec(),
            };
            let more = all.iter().flat_map(|so_far| {
                choices.iter().map(move |choice| {
                    let mut next = *so_far;
                    next[key] = choice;
                    next
                })
            });
            all = more.collect();
        }
        all
    }
}

// The literal reading.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allowed,
    ExplicitlyDenied,
    ImplicitlyDenied,
}

/// A character that is itself, or one with a meaning.
type Sign = (char, bool);

fn is_like(pattern: &[Sign], text: &[char]) -> bool {
    match pattern.first() {
        None => text.is_empty(),
        Some(('*', true)) => {
            is_like(&pattern[1..], text) || (!text.is_empty() && is_like(pattern, &text[1..]))
        }
        Some(('?', true)) => !text.is_empty() && is_like(&pattern[1..], &text[1..]),
        Some((it, _)) => text.first() == Some(it) && is_like(&pattern[1..], &text[1..]),
    }
}

/// The pattern with the one variable that it may have; None when the request has no such key.
fn replaced(pattern: &str, assignment: &Assignment) -> Option<Vec<Sign>> {
    let signs =
        |text: &str, mean: bool| -> Vec<Sign> { text.chars().map(|it| (it, mean)).collect() };
    let Some((before, rest)) = pattern.split_once("${") else {
        return Some(signs(pattern, true));
    };
    let (inner, after) = rest.split_once('}').unwrap();
    let (key, default) = match inner.split_once(", ") {
        Some((key, default)) => (key, Some(default.trim_matches('\''))),
        None => (inner, None),
    };
    let at = KEYS
        .iter()
        .position(|it| it.to_lowercase() == key.to_lowercase());
    let value = assignment[at.unwrap()].first().copied().or(default)?;
    Some([signs(before, true), signs(value, false), signs(after, true)].concat())
}

fn text_of(signs: &[Sign]) -> String {
    signs.iter().map(|it| it.0).collect()
}

fn compares(operator: &str, wanted: &str, found: &str, assignment: &Assignment) -> bool {
    let number = |it: &str| it.parse::<i64>().ok();
    let numbers = number(wanted).zip(number(found));
    match operator {
        "StringEquals" => replaced(wanted, assignment).is_some_and(|it| text_of(&it) == found),
        "StringEqualsIgnoreCase" => replaced(wanted, assignment)
            .is_some_and(|it| text_of(&it).to_lowercase() == found.to_lowercase()),
        "StringLike" => replaced(wanted, assignment)
            .is_some_and(|it| is_like(&it, &found.chars().collect::<Vec<_>>())),
        "NumericEquals" => numbers.is_some_and(|(wanted, found)| found == wanted),
        "NumericLessThan" => numbers.is_some_and(|(wanted, found)| found < wanted),
        "NumericGreaterThanEquals" => numbers.is_some_and(|(wanted, found)| found >= wanted),
        "Bool" => wanted.to_lowercase() == found,
        other => panic!("{other}"),
    }
}

impl RandomCondition {
    fn holds(&self, assignment: &Assignment) -> bool {
        let found = assignment[self.key];
        if self.operator == "Null" {
            return self
                .values
                .contains(&if found.is_empty() { "true" } else { "false" });
        }
        let negated = self.operator.contains("Not");
        let operator = self.operator.replace("Not", "");
        if found.is_empty() && self.if_exists == "IfExists" {
            return true;
        }
        // "… or if the key resolves to a null data set, such as an empty string."
        let is_null = found.is_empty() || found == [""];
        let fits = |value: &&str| {
            let mut wanted = self.values.iter();
            wanted.any(|it| compares(&operator, it, value, assignment)) != negated
        };
        match self.set {
            "ForAllValues:" => is_null || found.iter().all(fits),
            "ForAnyValue:" => !is_null && found.iter().any(fits),
            _ if found.is_empty() => negated,
            _ => fits(&found[0]),
        }
    }
}

/// Everything that names somebody, from the account to the session, and everybody.
fn names_of(who: &Principal) -> Vec<&'static str> {
    let root = "arn:aws:iam::000000000000:root";
    match who {
        Principal::Anonymous => vec!["*"],
        Principal::Owner { .. } => vec!["*", ACCOUNT, root],
        Principal::User { .. } => vec!["*", ACCOUNT, root, ANN],
        Principal::Session { .. } => vec!["*", ACCOUNT, root, ROLE, SESSION],
        Principal::Service { .. } => vec!["*", SERVICE],
    }
}

impl RandomStatement {
    fn names(&self, who: &Principal) -> bool {
        let is_named = |it: &&str| self.principals.contains(it);
        if !self.not_principal {
            return names_of(who).iter().any(is_named);
        }
        if self.allows {
            return !names_of(who).iter().any(is_named);
        }
        // A denial for all but some spares whom it names together with the account.
        let is_account = is_named(&ACCOUNT) || is_named(&"arn:aws:iam::000000000000:root");
        let is_spared = match who {
            Principal::Anonymous => false,
            Principal::Owner { .. } => is_account,
            Principal::User { .. } => is_account && is_named(&ANN),
            Principal::Session { .. } => is_account && is_named(&ROLE),
            Principal::Service { .. } => is_named(&SERVICE),
        };
        !is_spared && !is_named(&"*")
    }

    /// Whether it names more of somebody than the account.
    fn names_directly(&self, who: &Principal) -> bool {
        let is_owner = matches!(who, Principal::Owner { .. });
        let of_account = |it: &&str| it.contains("root") || **it == *ACCOUNT;
        let mut names = names_of(who)
            .into_iter()
            .filter(|it| is_owner || !of_account(it));
        self.names(who) && (self.not_principal || names.any(|it| self.principals.contains(&it)))
    }

    fn is_about(&self, world: &World, resource: &str, assignment: &Assignment) -> bool {
        let chars = |it: &str| -> Vec<char> { it.chars().collect() };
        let mut actions = self.actions.iter();
        let is_action = actions.any(|it| {
            let pattern = it
                .to_lowercase()
                .chars()
                .map(|it| (it, true))
                .collect::<Vec<_>>();
            is_like(&pattern, &chars(&world.action.to_lowercase()))
        });
        let mut resources = self.resources.iter();
        let is_resource = resources
            .any(|it| replaced(it, assignment).is_some_and(|it| is_like(&it, &chars(resource))));
        is_action != self.not_action
            && is_resource != self.not_resource
            && self.conditions.iter().all(|it| it.holds(assignment))
    }
}

fn verdict(world: &World, resource: &str, assignment: &Assignment) -> Verdict {
    let has_own = matches!(
        world.who,
        Principal::User { .. } | Principal::Session { .. }
    );
    let own: &[RandomStatement] = if has_own { &world.own } else { &[] };
    let attached: &[RandomStatement] = if world.how == 0 { &[] } else { &world.attached };
    let own: Vec<_> = (own.iter())
        .filter(|it| it.is_about(world, resource, assignment))
        .collect();
    let attached: Vec<_> = (attached.iter())
        .filter(|it| it.is_about(world, resource, assignment) && it.names(&world.who))
        .collect();
    if own.iter().chain(&attached).any(|it| !it.allows) {
        return Verdict::ExplicitlyDenied;
    }
    let own_allows = !own.is_empty() || matches!(world.who, Principal::Owner { .. });
    let named = attached.iter().any(|it| it.names_directly(&world.who));
    let is_allowed = match world.how {
        0 => own_allows,
        1 => own_allows || named,
        _ => named || (own_allows && !attached.is_empty()),
    };
    match is_allowed {
        true => Verdict::Allowed,
        false => Verdict::ImplicitlyDenied,
    }
}

fn verdict_of(decision: &Decision) -> Verdict {
    match decision.outcome {
        Outcome::Allowed => Verdict::Allowed,
        Outcome::DeniedExplicitly(_) => Verdict::ExplicitlyDenied,
        Outcome::DeniedImplicitly(_) => Verdict::ImplicitlyDenied,
    }
}

/// Whether each unknown key stands in one place only, where it makes a difference. Then nothing is lost
/// by looking at places one by one.
fn is_read_once(world: &World, assignments: &[Assignment]) -> bool {
    let mut seen = [0; 4];
    let mut statements: Vec<&RandomStatement> = Vec::new();
    if matches!(
        world.who,
        Principal::User { .. } | Principal::Session { .. }
    ) {
        statements.extend(&world.own);
    }
    if world.how != 0 {
        statements.extend(&world.attached);
    }
    let mut count = |text: &str| {
        for (at, key) in KEYS.iter().enumerate() {
            seen[at] += text
                .to_lowercase()
                .matches(&format!("${{{}", key.to_lowercase()))
                .count();
        }
    };
    for it in &statements {
        it.resources.iter().for_each(|it| count(it));
        it.conditions
            .iter()
            .flat_map(|it| &it.values)
            .for_each(|it| count(it));
    }
    if seen
        .iter()
        .zip(&world.keys)
        .any(|(seen, known)| *seen > 0 && known.is_none())
    {
        return false;
    }
    for condition in statements.iter().flat_map(|it| &it.conditions) {
        if world.keys[condition.key].is_none() {
            seen[condition.key] += 10;
            let holds = |it: &Assignment| condition.holds(it);
            if assignments.iter().all(holds) || !assignments.iter().any(holds) {
                return false;
            }
        }
    }
    seen.iter()
        .zip(&world.keys)
        .all(|(seen, known)| known.is_some() || *seen <= 10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn decisions_are_those_of_the_literal_reading(mut world in world()) {
        for known in &mut world.keys {
            known.get_or_insert(0);
        }
        let decision = world.decide(Resource::One(&world.resource));
        let [assignment] = world.assignments()[..] else { panic!("all is known") };
        prop_assert_eq!(verdict_of(&decision), verdict(&world, &world.resource, &assignment));
        prop_assert!(decision.unknown.is_empty());
    }

    #[test]
    fn what_is_unknown_never_allows_what_some_world_would_not(world in world()) {
        let decision = world.decide(Resource::One(&world.resource));
        let assignments = world.assignments();
        let verdicts: Vec<Verdict> = (assignments.iter())
            .map(|it| verdict(&world, &world.resource, it))
            .collect();
        // Where no unknown key decided, every world decides so.
        if decision.unknown.is_empty() {
            for it in &verdicts {
                prop_assert_eq!(*it, verdict_of(&decision));
            }
        } else {
            prop_assert!(!decision.is_allowed());
        }
        if is_read_once(&world, &assignments) {
            let is_allowed = verdicts.iter().all(|it| *it == Verdict::Allowed);
            prop_assert_eq!(decision.is_allowed(), is_allowed);
        }
    }

    #[test]
    fn what_is_allowed_for_all_of_a_kind_is_allowed_for_each(
        world in world(),
        pattern in select(vec!["*", "arn:aws:s3:::*", "arn:aws:s3:::a*", "arn:aws:s3:::?"]),
    ) {
        let decision = world.decide(Resource::AnyOf(pattern));
        let signs: Vec<Sign> = pattern.chars().map(|it| (it, true)).collect();
        for name in NAMES {
            let resource = format!("arn:aws:s3:::{name}");
            if !is_like(&signs, &resource.chars().collect::<Vec<_>>()) {
                continue;
            }
            for assignment in world.assignments() {
                let verdict = verdict(&world, &resource, &assignment);
                if decision.is_allowed() {
                    prop_assert_eq!(verdict, Verdict::Allowed, "{}", resource);
                }
                if decision.unknown.is_empty() && verdict == Verdict::ExplicitlyDenied {
                    prop_assert_eq!(verdict_of(&decision), Verdict::ExplicitlyDenied);
                }
            }
        }
    }
}
