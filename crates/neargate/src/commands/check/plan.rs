//! A plan of Terraform, as `terraform show -json` writes it (Terraform, "JSON Output Format"): resources with the
//! values that are known, and in the configuration, what the others will come from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value as Json};
use why::Place;
use why::ahead::{Declared, DeclaredResource, reference};

use super::outcome::{self, Outcome};
use super::{Part, Surroundings, terraform};

/// References lead through modules and their variables: deeper ones are given up.
const DEPTH_MAX: usize = 16;
/// More files beside a plan are not looked through for where resources are written.
const FILES_MAX: usize = 500;

pub fn read(
    file: &Path,
    plan: &Json,
    around: &Surroundings<'_>,
    outcome: &mut Outcome,
) -> Vec<Part> {
    outcome.looked(file.display().to_string());
    let mut planned = Plan {
        all: Vec::new(),
        configuration: &plan["configuration"]["root_module"],
    };
    planned.enter(&plan["planned_values"]["root_module"], "");
    let written = written(file);
    let mut declared = Declared {
        region: region(plan).unwrap_or(around.region).to_owned(),
        account: around.account.to_owned(),
        ..Declared::default()
    };
    let mut unknown: BTreeSet<&str> = BTreeSet::new();
    for it in &planned.all {
        let key = (it.kind, it.name);
        let place = written.get(&(key.0.to_owned(), key.1.to_owned())).cloned();
        let place = place.unwrap_or_else(|| outcome::place(file, None));
        let view = View { plan: &planned, it };
        match terraform::converted(&view) {
            None => {
                unknown.insert(it.kind);
            }
            Some(made) => {
                let needs = view.needs();
                for (suffix, kind, properties) in made {
                    let resource = DeclaredResource {
                        kind: kind.to_owned(),
                        properties,
                        place: Some(place.clone()),
                        places: BTreeMap::new(),
                        needs: needs.clone(),
                    };
                    declared
                        .resources
                        .insert(format!("{}{suffix}", it.address), resource);
                }
            }
        }
    }
    if !unknown.is_empty() {
        let names: Vec<&str> = unknown.into_iter().collect();
        outcome.not(format!(
            "resources of types that are not looked into: {}",
            names.join(", ")
        ));
    }
    vec![Part::Declared(Box::new(declared))]
}

/// The region that the provider is configured with, where it is written.
fn region(plan: &Json) -> Option<&str> {
    let aws = &plan["configuration"]["provider_config"]["aws"]["expressions"]["region"];
    if let Some(region) = aws["constant_value"].as_str() {
        return Some(region);
    }
    let name = aws["references"][0].as_str()?.strip_prefix("var.")?;
    plan["variables"][name]["value"].as_str()
}

/// Where resources are written, in the files beside the plan: a plan itself says nothing of it.
fn written(plan: &Path) -> BTreeMap<(String, String), Place> {
    let folder = match plan.parent() {
        Some(it) if it != Path::new("") => it,
        _ => Path::new("."),
    };
    let mut all = BTreeMap::new();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.take(FILES_MAX) {
        let path = entry.path();
        if path.extension().is_none_or(|it| it != "tf") {
            continue;
        }
        let Ok(text) = super::files::text(&path) else {
            continue;
        };
        let shown = path.strip_prefix("./").unwrap_or(&path);
        for (line, number) in text.lines().zip(1..) {
            if let Some((kind, name)) = header(line) {
                let place = Place::new(shown.display().to_string(), number, 1);
                all.insert((kind.to_owned(), name.to_owned()), place);
            }
        }
    }
    all
}

/// `resource "aws_ecs_service" "web" {`
fn header(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("resource")?;
    let mut words = rest.split('"');
    let (_, kind, _, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
    Some((kind, name))
}

/// A resource that will be there.
struct Planned<'a> {
    /// `module.site.aws_subnet.private[0]`
    address: &'a str,
    /// `module.site.`, or nothing at the top.
    module: String,
    kind: &'a str,
    name: &'a str,
    values: &'a Json,
}

struct Plan<'a> {
    all: Vec<Planned<'a>>,
    configuration: &'a Json,
}

/// What references lead to.
#[derive(Default)]
struct Led<'a> {
    addresses: Vec<&'a str>,
    /// By module and reference. Modules that hand on what they were handed mention it many times over, and all of
    /// them lead to the same.
    followed: BTreeSet<(String, String)>,
}

impl<'a> Plan<'a> {
    fn enter(&mut self, module: &'a Json, path: &str) {
        for it in module["resources"].as_array().into_iter().flatten() {
            if it["mode"] != "managed" {
                continue;
            }
            self.all.push(Planned {
                address: it["address"].as_str().unwrap_or_default(),
                module: path.to_owned(),
                kind: it["type"].as_str().unwrap_or_default(),
                name: it["name"].as_str().unwrap_or_default(),
                values: &it["values"],
            });
        }
        for it in module["child_modules"].as_array().into_iter().flatten() {
            let address = it["address"].as_str().unwrap_or_default();
            self.enter(it, &format!("{address}."));
        }
    }

    /// The configuration of a module, by its path without the keys of its instances.
    fn configured(&self, module: &str) -> &'a Json {
        let mut found = self.configuration;
        for name in names_of(module) {
            found = &found["module_calls"][name.as_str()]["module"];
        }
        found
    }

    /// The call that makes a module, in the configuration of the one around it.
    fn call(&self, module: &str) -> Option<(String, &'a Json)> {
        let mut names = names_of(module);
        let own = names.pop()?;
        let outer: String = names.iter().map(|it| format!("module.{it}.")).collect();
        let call = &self.configured(&outer)["module_calls"][own.as_str()];
        Some((outer, call))
    }

    /// Addresses that a reference of a module leads to.
    fn lead(&self, module: &str, reference: &str, depth: usize, found: &mut Led<'a>) {
        let own = (module.to_owned(), reference.to_owned());
        if depth > DEPTH_MAX || !found.followed.insert(own) {
            return;
        }
        let mut words = reference.splitn(3, '.');
        let (first, second) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        match first {
            "var" => {
                if let Some((outer, call)) = self.call(module) {
                    self.lead_all(&outer, &call["expressions"][bare(second)], depth, found);
                }
            }
            "module" => {
                let inner = format!("{module}module.{}.", bare(second));
                let output = words
                    .next()
                    .map(|it| bare(it.split('.').next().unwrap_or(it)));
                let configured = self.configured(&inner);
                if let Some(output) = output {
                    let expression = &configured["outputs"][output]["expression"];
                    self.lead_all(&inner, expression, depth, found);
                }
            }
            "local" | "data" | "each" | "count" | "path" | "self" => {}
            _ => {
                let exact = format!("{module}{first}.{second}");
                let any = format!("{module}{first}.{}", bare(second));
                let is_it = |address: &str| {
                    let plain = without_keys_of_modules(address, module);
                    let plain = plain.as_deref().unwrap_or(address);
                    match exact == any {
                        true => {
                            plain == any
                                || plain
                                    .strip_prefix(&any)
                                    .is_some_and(|it| it.starts_with('['))
                        }
                        false => plain == exact,
                    }
                };
                let name = bare(second);
                let all = (self.all.iter()).filter(|it| it.kind == first && it.name == name);
                for address in all.map(|it| it.address).filter(|it| is_it(it)) {
                    if !found.addresses.contains(&address) {
                        found.addresses.push(address);
                    }
                }
            }
        }
    }

    fn lead_all(&self, module: &str, expression: &Json, depth: usize, found: &mut Led<'a>) {
        for reference in references(expression) {
            self.lead(module, reference, depth + 1, found);
        }
    }
}

/// What an expression mentions, the most precise of each thing: Terraform lists `a.b.id`, `a.b`.
fn references(expression: &Json) -> Vec<&str> {
    let all = expression["references"].as_array().into_iter().flatten();
    let all: Vec<&str> = all.filter_map(Json::as_str).collect();
    let is_covered = |at: usize| {
        let own = all[at];
        let longer = |it: &&str| {
            it.strip_prefix(own)
                .is_some_and(|it| it.starts_with(['.', '[']))
        };
        all[..at].iter().any(longer)
    };
    (0..all.len())
        .filter(|at| !is_covered(*at))
        .map(|at| all[at])
        .collect()
}

/// `private` of `private[0]`.
fn bare(name: &str) -> &str {
    name.split('[').next().unwrap_or(name)
}

/// Names of modules of `module.a["x"].module.b.`. Keys may hold dots.
fn names_of(module: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = module;
    while let Some(after) = rest.strip_prefix("module.") {
        let end = after.find(['.', '[']).unwrap_or(after.len());
        names.push(after[..end].to_owned());
        rest = &after[end..];
        if rest.starts_with('[') {
            rest = rest.split_once(']').map_or("", |it| it.1);
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    names
}

/// The address as it is in each instance of its module, when that is the module.
fn without_keys_of_modules(address: &str, module: &str) -> Option<String> {
    let names = names_of(address);
    let path: String = names.iter().map(|it| format!("module.{it}.")).collect();
    let asked: String = names_of(module)
        .iter()
        .map(|it| format!("module.{it}."))
        .collect();
    if path != asked {
        return None;
    }
    let mut rest = address;
    for name in &names {
        rest = rest.strip_prefix("module.")?.strip_prefix(name.as_str())?;
        if rest.starts_with('[') {
            rest = rest.split_once(']')?.1;
        }
        rest = rest.strip_prefix('.')?;
    }
    Some(format!("{module}{rest}"))
}

/// A planned resource, as conversions see it: values where they are known, references where they are not.
pub struct View<'a> {
    plan: &'a Plan<'a>,
    it: &'a Planned<'a>,
}

impl View<'_> {
    pub fn kind(&self) -> &str {
        self.it.kind
    }

    pub fn address(&self) -> &str {
        self.it.address
    }

    /// The resource as it is configured. A source of data may have its type and name, too.
    fn configured(&self) -> &Json {
        let module = self.plan.configured(&self.it.module);
        let mut all = module["resources"].as_array().into_iter().flatten();
        let own = all.find(|it| {
            it["type"] == self.it.kind && it["name"] == self.it.name && it["mode"] == "managed"
        });
        own.unwrap_or(&Json::Null)
    }

    fn expressions(&self) -> &Json {
        &self.configured()["expressions"]
    }

    /// The expression at `network_configuration.0.subnets`.
    fn expression(&self, path: &str) -> &Json {
        let mut found = self.expressions();
        for name in path.split('.') {
            found = match name.parse::<usize>() {
                Ok(at) => &found[at],
                Err(_) => &found[name],
            };
        }
        found
    }

    /// How many blocks of a kind the configuration has.
    pub fn blocks(&self, path: &str) -> usize {
        self.expression(path).as_array().map_or(0, Vec::len)
    }

    /// What an expression says without asking anything.
    pub fn constant(&self, path: &str) -> Json {
        self.expression(path)["constant_value"].clone()
    }

    fn leads_to(&self, path: &str) -> Vec<Json> {
        let mut found = Led::default();
        self.plan
            .lead_all(&self.it.module, self.expression(path), 0, &mut found);
        (found.addresses.into_iter())
            .map(|it| reference(it, None).into())
            .collect()
    }

    pub fn value(&self, path: &str) -> &Json {
        let mut found = self.it.values;
        for name in path.split('.') {
            found = match name.parse::<usize>() {
                Ok(at) => &found[at],
                Err(_) => &found[name],
            };
        }
        found
    }

    /// One value: as it is known, or a reference to what it comes from.
    pub fn one(&self, path: &str) -> Json {
        let known = self.value(path);
        if !known.is_null() {
            return known.clone();
        }
        self.leads_to(path).into_iter().next().unwrap_or_default()
    }

    /// A list: what is known whole, or references to all that it comes from.
    pub fn many(&self, path: &str) -> Json {
        let known = self
            .value(path)
            .as_array()
            .filter(|it| it.iter().all(|it| !it.is_null()));
        match known {
            Some(known) if !known.is_empty() => Json::Array(known.clone()),
            _ => Json::Array(self.leads_to(path)),
        }
    }

    /// Members of CloudFormation's names, by the attributes that they come from.
    pub fn object(&self, members: &[(&str, &str)]) -> Map<String, Json> {
        let all = members
            .iter()
            .map(|(name, path)| ((*name).to_owned(), self.one(path)));
        all.filter(|(_, it)| !it.is_null()).collect()
    }

    /// Everything that its expressions mention.
    fn needs(&self) -> BTreeSet<String> {
        let mut found = Led::default();
        let mut ahead = vec![self.expressions()];
        while let Some(it) = ahead.pop() {
            self.plan.lead_all(&self.it.module, it, 0, &mut found);
            match it {
                Json::Object(members) => ahead.extend(members.values()),
                Json::Array(items) => ahead.extend(items),
                _ => {}
            }
        }
        let named = self.configured()["depends_on"].as_array();
        for it in named.into_iter().flatten().filter_map(Json::as_str) {
            self.plan.lead(&self.it.module, it, 0, &mut found);
        }
        found.addresses.into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn planned<'a>(address: &'a str, module: &str, kind: &'a str, name: &'a str) -> Planned<'a> {
        Planned {
            address,
            module: module.to_owned(),
            kind,
            name,
            values: &Json::Null,
        }
    }

    #[test]
    fn what_modules_hand_on_many_times_is_followed_once() {
        const LEVELS: usize = 12;
        let subnet = json!({ "mode": "managed", "type": "aws_subnet", "name": "a",
            "expressions": { "vpc_id": { "references": ["var.vpc"] } } });
        let mut configuration = json!({ "resources": [subnet] });
        for level in 1..=LEVELS {
            let handed = match level {
                LEVELS => vec!["aws_vpc.main.id", "aws_vpc.main"],
                _ => vec!["var.vpc"; 8],
            };
            let expressions = json!({ "vpc": { "references": handed } });
            configuration = json!({ "module_calls": { "m": { "module": configuration, "expressions": expressions } } });
        }
        let module = "module.m.".repeat(LEVELS);
        let address = format!("{module}aws_subnet.a");
        let plan = Plan {
            all: vec![
                planned("aws_vpc.main", "", "aws_vpc", "main"),
                planned(&address, &module, "aws_subnet", "a"),
            ],
            configuration: &configuration,
        };
        let view = View {
            plan: &plan,
            it: &plan.all[1],
        };
        assert_eq!(view.one("vpc_id"), json!(reference("aws_vpc.main", None)));
        assert_eq!(view.needs(), BTreeSet::from(["aws_vpc.main".to_owned()]));
    }

    #[test]
    fn a_source_of_data_of_the_same_name_is_another_thing() {
        let configuration = json!({ "resources": [
            { "mode": "data", "type": "aws_vpc", "name": "main", "depends_on": ["aws_iam_role.a"] },
            { "mode": "managed", "type": "aws_vpc", "name": "main", "depends_on": ["aws_iam_role.b"] },
        ] });
        let plan = Plan {
            all: vec![
                planned("aws_iam_role.a", "", "aws_iam_role", "a"),
                planned("aws_iam_role.b", "", "aws_iam_role", "b"),
                planned("aws_vpc.main", "", "aws_vpc", "main"),
            ],
            configuration: &configuration,
        };
        let view = View {
            plan: &plan,
            it: &plan.all[2],
        };
        assert_eq!(view.needs(), BTreeSet::from(["aws_iam_role.b".to_owned()]));
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(names_of("module.a[\"x.y\"].module.b."), ["a", "b"]);
        assert_eq!(names_of(""), Vec::<String>::new());
        let plain = without_keys_of_modules("module.a[0].aws_subnet.b[1]", "module.a.");
        assert_eq!(plain.as_deref(), Some("module.a.aws_subnet.b[1]"));
        assert_eq!(
            header("resource \"aws_vpc\" \"main\" {"),
            Some(("aws_vpc", "main"))
        );
        assert_eq!(header("data \"aws_vpc\" \"main\" {"), None);
    }
}
