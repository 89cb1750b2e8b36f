//! From situations to findings: what the rules say of each, with what follows from another left out.

use std::collections::BTreeSet;

use crate::facts::Situation;
use crate::gather;
use crate::report::{Finding, Unexplained};
use crate::rules;

/// A service, by its cluster and name.
type Whose = Option<(String, String)>;

/// Causes, each once, and what no rule explains.
pub fn explain(situations: Vec<Situation>, told: Vec<Finding>) -> (Vec<Finding>, Vec<Unexplained>) {
    let mut found: Vec<(Whose, Finding)> = told.into_iter().map(|it| (None, it)).collect();
    let (mut silent, mut explained) = (Vec::new(), BTreeSet::new());
    for situation in &situations {
        let whose = whose(situation);
        match rules::find(situation) {
            Some(finding) => {
                explained.extend(whose.clone());
                add(&mut found, whose, finding);
            }
            None => silent.push((whose, situation)),
        }
    }
    // A task that left nothing behind to be looked at failed as those of its service did that did.
    let unexplained = (silent.into_iter())
        .filter(|(whose, _)| whose.as_ref().is_none_or(|it| !explained.contains(it)));
    let mut each: Vec<(Whose, Unexplained)> = Vec::new();
    for (whose, situation) in unexplained {
        let it = Unexplained {
            thing: situation.thing.clone(),
            symptom: gather::symptom(situation),
        };
        // Tasks of one service say the same, one after the other.
        let is_same = |other: &(Whose, Unexplained)| {
            other.0.is_some() && other.0 == whose && other.1.symptom == it.symptom
        };
        if !each.iter().any(is_same) {
            each.push((whose, it));
        }
    }
    (
        found.into_iter().map(|it| it.1).collect(),
        each.into_iter().map(|it| it.1).collect(),
    )
}

fn whose(situation: &Situation) -> Whose {
    let service = situation.service.as_ref()?;
    Some((service.cluster.clone(), service.name.clone()))
}

/// One cause often fails several tasks of a service in the same way, and several services. Two programs that end with
/// the same code have not for that the same cause: what was seen of them tells.
fn add(found: &mut Vec<(Whose, Finding)>, whose: Whose, finding: Finding) {
    let is_own = |other: &Whose| whose.is_some() && *other == whose;
    let same = found.iter_mut().find(|(other, it)| {
        let is_alike = it.id == finding.id && it.cause == finding.cause;
        is_alike && (is_own(other) || it.because.first() == finding.because.first())
    });
    match same {
        None => found.push((whose, finding)),
        Some((other, first)) if is_own(other) || first.thing == finding.thing => {}
        Some((_, first)) => {
            let also = format!("the same is the cause for {}", finding.thing);
            first.also_seen.push(also);
        }
    }
}
