//! Who may depend on whom.

use super::{House, Member, Violation};

/// What services may use of ours. They meet each other through their operations, and the machine
/// through `engine`.
const FOR_SERVICES: &[&str] = &[
    "cloud", "converge", "engine", "policy", "scaling", "shapes", "store", "template", "wire",
];

/// What every crate may use: small pure code that depends on nothing of ours.
const FOR_EVERYBODY: &str = "base";

/// What each crate under `crates/` may use of ours. Two are not here: `neargate` composes, and may use
/// everything that is no tool and no fake; `e2e` holds tests alone, and may use what `neargate` may.
const MAY_USE: &[(&str, &[&str])] = &[
    // the language of AWS
    ("wire", &["shape-derive"]),
    ("shape-derive", &[]),
    ("shapes", &["shape-derive", "wire"]),
    ("template", &[]),
    ("policy", &[]),
    // for everybody
    ("base", &[]),
    // records and the loop that makes them real
    ("store", &[]),
    ("converge", &[]),
    ("cloud", &["converge", "engine", "policy", "store", "wire"]),
    // what services share that scale
    ("scaling", &["cloud", "shapes"]),
    // what looks at all of it
    ("why", &["cloud", "engine", "shapes", "wire"]),
    (
        "web-console",
        &["cloud", "engine", "shapes", "template", "why", "wire"],
    ),
    // the machine
    ("engine", &[]),
    ("reach", &["engine"]),
    ("images", &["engine", "reach"]),
    ("builder", &["engine"]),
    ("runtime", &["engine"]),
    ("network", &["engine"]),
    ("edge", &["engine"]),
    ("logs", &["engine"]),
    ("objects", &["engine"]),
    ("workspaces", &["engine"]),
    ("git", &["engine", "reach"]),
    ("buildkit", &[]),
    ("docker-api", &["buildkit", "engine"]),
    // for tests and for us
    ("fuzz", &[]),
    ("sim", &["engine"]),
    ("testkit", &["cloud", "engine", "sim", "store", "wire"]),
    ("xtask", &["wire"]),
];

/// Crates that what is shipped never holds.
const NOT_SHIPPED: &[&str] = &["sim", "testkit", "e2e", "fuzz", "xtask"];

const COMPOSES: &[&str] = &["neargate", "e2e"];

/// Libraries that touch the machine.
const OF_THE_MACHINE: &[&str] = &[
    "hyper",
    "hyper-util",
    "libc",
    "libcontainer",
    "nix",
    "rtnetlink",
    "rusqlite",
    "rustix",
    "socket2",
];

pub fn follow_the_house(house: &House) -> Vec<Violation> {
    house
        .members
        .iter()
        .flat_map(|member| wrong_arrows(house, member))
        .collect()
}

fn wrong_arrows(house: &House, member: &Member) -> Vec<Violation> {
    let Some((allowed, why)) = allowed(house, member) else {
        return vec![Violation {
            place: member.path.clone(),
            what: format!(
                "`{}` is a crate that the map of the house does not know",
                member.name
            ),
            why: "say in MAY_USE (crates/xtask/src/tidy/arrows.rs) and in ARCHITECTURE.md what it \
                  is for and what it may use",
        }];
    };
    let ours = member.dependencies.iter().filter(|it| house.has(it));
    ours.filter(|it| *it != FOR_EVERYBODY && !allowed.contains(&it.as_str()))
        .map(|it| Violation {
            place: member.path.join("Cargo.toml"),
            what: format!("`{}` depends on `{it}`", member.name),
            why,
        })
        .collect()
}

/// What `member` may use of ours, and why nothing else.
fn allowed<'a>(house: &'a House, member: &Member) -> Option<(Vec<&'a str>, &'static str)> {
    if member.folder == "services" {
        return Some((
            FOR_SERVICES.to_vec(),
            "services meet through their operations (`cx.call`) and reach the machine through \
             `engine`: a call from a neighbour gets the same checks as one from the network",
        ));
    }
    if COMPOSES.contains(&member.name.as_str()) {
        let all = house.members.iter().map(|it| it.name.as_str());
        return Some((
            all.filter(|it| !NOT_SHIPPED.contains(it)).collect(),
            "what is made for tests and for the workspace is not shipped",
        ));
    }
    let (_, allowed) = MAY_USE.iter().find(|it| it.0 == member.name)?;
    Some((
        allowed.to_vec(),
        "the arrows of ARCHITECTURE.md: below the port (`engine`) nobody knows who asks, and above \
         it nobody knows who does it; only `neargate` knows both",
    ))
}

pub fn keep_to_their_side(house: &House) -> Vec<Violation> {
    let services = house.members.iter().filter(|it| it.folder == "services");
    services
        .flat_map(|member| {
            let touching = member
                .dependencies
                .iter()
                .filter(|it| OF_THE_MACHINE.contains(&it.as_str()));
            touching.map(|it| Violation {
                place: member.path.join("Cargo.toml"),
                what: format!("`{}` depends on `{it}`", member.name),
                why: "a service never touches a process, a socket or a namespace: ask the engine's \
                      traits, so that tests can run it on a machine that is not there",
            })
        })
        .collect()
}
