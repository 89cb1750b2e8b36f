//! The tasks that a file will start: one situation for each service, and for each definition that no service has.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::declared::{Declared, DeclaredResource, flag, is_known, number, referred, short, text};
use super::known::{Known, Wanted, WantedImage};
use super::{ManagedPolicy, balancers, networks, roles};
use crate::facts::{
    ContainerFacts, GroupFacts, ImageFacts, LogFacts, MissingSecret, NetworkFacts, RoleFacts,
    ServiceFacts, Situation, TaskFacts,
};
use crate::gather::Place as NetworkPlace;
use crate::gather::pictures::ecr_host;
use crate::rules::{self, Layer};

const SERVICE: &str = "AWS::ECS::Service";
const DEFINITION: &str = "AWS::ECS::TaskDefinition";
const CONFIGURATION: &str = "NetworkConfiguration.AwsvpcConfiguration";
/// Why the daemon says nothing of a thing.
const TOO_MANY: &str = "more of its kind are named than are asked about";

/// A task that will be started, by a service or by whoever runs its definition.
struct Planned<'a> {
    service: Option<(&'a String, &'a DeclaredResource)>,
    definition: Option<(&'a str, &'a DeclaredResource)>,
}

fn planned(declared: &Declared) -> Vec<Planned<'_>> {
    let mut used = BTreeSet::new();
    let mut all = Vec::new();
    for service in declared.of_kind(SERVICE) {
        let definition = declared.find(service.1.get("TaskDefinition"));
        used.extend(definition.map(|it| it.0));
        all.push(Planned {
            service: Some(service),
            definition,
        });
    }
    for (id, definition) in declared.of_kind(DEFINITION) {
        if !used.contains(id.as_str()) {
            all.push(Planned {
                service: None,
                definition: Some((id.as_str(), definition)),
            });
        }
    }
    all
}

/// What only the account could tell.
pub fn wanted(declared: &Declared) -> Wanted {
    let mut wanted = Wanted::default();
    for it in planned(declared) {
        if let Some((_, service)) = it.service {
            wanted.networks.extend(existing_places(service));
        }
        let Some((_, definition)) = it.definition else {
            continue;
        };
        if let Some(role) = existing_role(definition) {
            wanted.roles.insert(role);
        }
        for container in definition.list("ContainerDefinitions") {
            wanted.images.extend(existing_image(container));
            let (group, region) = log_options(container);
            if let (Some(group), Some(region)) = (group, region)
                && is_known(&group)
                && is_known(&region)
            {
                wanted.log_groups.insert((region, group));
            }
            let secrets = container["Secrets"].as_array().into_iter().flatten();
            let named = secrets.filter_map(|it| it["ValueFrom"].as_str());
            wanted
                .secrets
                .extend(named.filter(|it| is_known(it)).map(str::to_owned));
        }
    }
    wanted
}

/// The situations of all tasks, and what could not be looked at for them.
pub fn situations(
    declared: &Declared,
    known: Option<&Known>,
    managed: ManagedPolicy<'_>,
) -> (Vec<Situation>, BTreeSet<String>) {
    let (mut all, mut not) = (Vec::new(), BTreeSet::new());
    for it in planned(declared) {
        let look = Look {
            declared,
            known,
            managed,
        };
        all.push(look.situation(&it, &mut not));
    }
    all.extend(super::instances::situations(declared));
    (all, not)
}

fn existing_role(definition: &DeclaredResource) -> Option<String> {
    let arn = definition
        .text("ExecutionRoleArn")
        .filter(|it| is_known(it))?;
    Some(short(&arn).to_owned())
}

fn existing_image(container: &Json) -> Option<WantedImage> {
    let name = container["Image"].as_str().filter(|it| is_known(it))?;
    let words = |name: &str| -> Vec<String> {
        let given = container[name].as_array().into_iter().flatten();
        given
            .filter_map(|it| Some(it.as_str()?.to_owned()))
            .collect()
    };
    let (entry_point, command) = (words("EntryPoint"), words("Command"));
    Some(WantedImage {
        name: name.to_owned(),
        is_entry_point: !entry_point.is_empty(),
        starts: entry_point.first().or(command.first()).cloned(),
        user: container["User"].as_str().map(str::to_owned),
        programs: health_program(&health_command(container))
            .into_iter()
            .collect(),
    })
}

fn health_command(container: &Json) -> Vec<String> {
    let words = container["HealthCheck"]["Command"]
        .as_array()
        .into_iter()
        .flatten();
    words.filter_map(text).collect()
}

/// The program that a health check begins with, where that can be told without a shell.
pub fn health_program(command: &[String]) -> Option<String> {
    const SHELLS_OWN: [&str; 9] = ["test", "[", "exit", "true", "cd", "if", "set", "(", "!"];
    let line = match command {
        [kind, rest @ ..] if kind == "CMD" => rest.first()?.clone(),
        [kind, line, ..] if kind == "CMD-SHELL" => line.clone(),
        _ => return None,
    };
    let first = line.split_whitespace().next()?.to_owned();
    let is_plain = first
        .chars()
        .all(|it| it.is_ascii_alphanumeric() || "/._-".contains(it));
    (is_plain && !SHELLS_OWN.contains(&first.as_str())).then_some(first)
}

fn log_options(container: &Json) -> (Option<String>, Option<String>) {
    let log = &container["LogConfiguration"];
    if log["LogDriver"] != "awslogs" {
        return (None, None);
    }
    let option = |name: &str| text(&log["Options"][name]);
    (option("awslogs-group"), option("awslogs-region"))
}

/// Subnets and groups of a service that are there already.
fn existing_places(service: &DeclaredResource) -> Vec<NetworkPlace> {
    let configuration = service.get(CONFIGURATION);
    let known = |name: &str| -> Vec<String> {
        let given = configuration[name].as_array().into_iter().flatten();
        let texts = given.filter_map(Json::as_str).filter(|it| is_known(it));
        texts.map(str::to_owned).collect()
    };
    let groups = known("SecurityGroups");
    (known("Subnets").into_iter())
        .map(|subnet| NetworkPlace {
            subnet,
            groups: groups.clone(),
            interface: None,
            asks_public_address: Some(configuration["AssignPublicIp"] == "ENABLED"),
        })
        .collect()
}

struct Look<'a> {
    declared: &'a Declared,
    known: Option<&'a Known>,
    managed: ManagedPolicy<'a>,
}

impl Look<'_> {
    fn situation(&self, it: &Planned<'_>, not: &mut BTreeSet<String>) -> Situation {
        let (thing, place) = match (it.service, it.definition) {
            (Some((id, service)), _) => (format!("service {}", short(id)), &service.place),
            (None, Some((id, definition))) => {
                (format!("task definition {}", short(id)), &definition.place)
            }
            (None, None) => (String::new(), &None),
        };
        let mut situation = Situation {
            thing,
            region: self.declared.region.clone(),
            account: self.declared.account.clone(),
            is_ahead: true,
            place: place.clone(),
            ..Situation::default()
        };
        match it.definition {
            Some((id, definition)) => {
                situation.containers = self.containers(definition, not);
                situation.task = Some(self.task(id, definition, not));
            }
            None => {
                not.insert(format!(
                    "the task definition of {}, which is not in the file",
                    situation.thing
                ));
            }
        }
        let Some((id, service)) = it.service else {
            return situation;
        };
        situation.service = Some(counts(id, service));
        situation.is_served_by_instance = is_on_instances(service, it.definition.map(|it| it.1));
        situation.targets = balancers::targets(self.declared, id, service);
        let balanced = service.list("LoadBalancers").len();
        if situation.targets.len() < balanced {
            not.insert(format!(
                "target groups of {}, which are not in the file",
                situation.thing
            ));
        }
        self.put_into_network(service, &mut situation, not);
        situation
    }

    /// Of several subnets, the one that something is wrong with counts.
    fn put_into_network(
        &self,
        service: &DeclaredResource,
        situation: &mut Situation,
        not: &mut BTreeSet<String>,
    ) {
        let configuration = service.get(CONFIGURATION);
        let subnets = configuration["Subnets"].as_array();
        let place = service.place_of(&format!("{CONFIGURATION}.Subnets"));
        let own_groups = configuration["SecurityGroups"].as_array();
        let groups = own_groups.and_then(|it| self.groups(it));
        if own_groups.is_some() && groups.is_none() {
            not.insert(format!(
                "security groups of {}, which are not in the file",
                situation.thing
            ));
        }
        let mut first = None;
        for subnet in subnets.into_iter().flatten() {
            let found = networks::of_subnet(self.declared, subnet)
                .or_else(|| self.existing_network(subnet.as_str()?));
            let Some(network) = found else {
                let shown = self.declared.shown(subnet);
                let shown = match is_known(&shown) {
                    true => format!("subnet {shown}"),
                    false => "subnets that are given when it is deployed".to_owned(),
                };
                not.insert(format!("{shown} of {}", situation.thing));
                continue;
            };
            situation.network = Some(NetworkFacts {
                has_public_address: Some(configuration["AssignPublicIp"] == "ENABLED"),
                groups: groups.clone().unwrap_or_default(),
                place: place.clone(),
                ..network
            });
            let found = rules::find_ahead(situation);
            let is_bad = found
                .iter()
                .any(|it| rules::layer_of(&it.id) == Some(Layer::Network));
            if is_bad {
                return;
            }
            first = first.or(situation.network.take());
        }
        situation.network = first;
        // Configured, and nobody knows where: it is in a network of its own all the same.
        if situation.network.is_none() {
            situation.targets.retain(|it| it.container.is_some());
        }
    }

    fn groups(&self, ids: &[Json]) -> Option<Vec<GroupFacts>> {
        networks::groups(self.declared, ids).or_else(|| {
            let known = self.known?;
            let each = ids.iter().map(|it| known.group(it.as_str()?).cloned());
            each.collect()
        })
    }

    fn existing_network(&self, subnet: &str) -> Option<NetworkFacts> {
        self.known?.networks.get(subnet).cloned()
    }

    fn task(
        &self,
        id: &str,
        definition: &DeclaredResource,
        not: &mut BTreeSet<String>,
    ) -> TaskFacts {
        let role = definition.get("ExecutionRoleArn");
        let asked = asked_of_role(definition);
        let declared = roles::of_declared(self.declared, role, &asked, self.managed);
        TaskFacts {
            id: short(id).to_owned(),
            execution_role: text(role).filter(|it| is_known(it)),
            memory_mib: number(definition.get("Memory")).and_then(|it| u32::try_from(it).ok()),
            role: declared.or_else(|| self.existing_role(definition, &asked, not)),
            place: definition.place.clone(),
            ..TaskFacts::default()
        }
    }

    fn existing_role(
        &self,
        definition: &DeclaredResource,
        asked: &BTreeSet<String>,
        not: &mut BTreeSet<String>,
    ) -> Option<RoleFacts> {
        let name = existing_role(definition)?;
        let place = definition.place_of("ExecutionRoleArn");
        let Some(known) = self.known else {
            not.insert(format!("the role {name}: no daemon is there to be asked"));
            return None;
        };
        if known.left.roles.contains(&name) {
            not.insert(format!("the role {name}: {TOO_MANY}"));
            return None;
        }
        let found = known.roles.get(&name);
        Some(RoleFacts {
            is_there: found.is_some(),
            trusts_tasks: found.is_none_or(|it| roles::trusts(&Json::String(it.trust.clone()))),
            lacks: match found {
                Some(role) => {
                    let documents: Vec<Json> = role
                        .documents
                        .iter()
                        .map(|it| Json::String(it.clone()))
                        .collect();
                    roles::lacking(&documents, asked)
                }
                None => Vec::new(),
            },
            name,
            place,
        })
    }

    fn containers(
        &self,
        definition: &DeclaredResource,
        not: &mut BTreeSet<String>,
    ) -> Vec<ContainerFacts> {
        (definition.list("ContainerDefinitions").iter().enumerate())
            .map(|(at, it)| {
                let path = format!("ContainerDefinitions.{at}");
                let words = |name: &str| it[name].as_array().into_iter().flatten().filter_map(text);
                let image = self.image(definition, &path, it, not);
                let health_command = health_command(it);
                let lacks = health_program(&health_command);
                ContainerFacts {
                    name: text(&it["Name"]).unwrap_or_default(),
                    is_essential: flag(&it["Essential"]) != Some(false),
                    user: text(&it["User"]).unwrap_or_default(),
                    log: self.log(definition, &path, it, not),
                    missing_secrets: self.missing_secrets(definition, &path, it, not),
                    waits_for: waits_for(it),
                    command: words("EntryPoint").chain(words("Command")).collect(),
                    ports: ports(it),
                    lacks_for_health: lacks.filter(|it| image.lacks.contains(it)),
                    health_command,
                    image,
                    place: definition.place_of(&path),
                    ..ContainerFacts::default()
                }
            })
            .collect()
    }

    fn image(
        &self,
        definition: &DeclaredResource,
        path: &str,
        container: &Json,
        not: &mut BTreeSet<String>,
    ) -> ImageFacts {
        let name = text(&container["Image"]).unwrap_or_default();
        let place = definition.place_of(&format!("{path}.Image"));
        let repository = self.declared.find_text(&name);
        if let Some((id, repository)) = repository.filter(|it| it.1.kind == "AWS::ECR::Repository")
        {
            let rest = referred(&name).map_or("", |it| it.1);
            return ImageFacts {
                name: format!("{}{rest}", short(id)),
                is_of: Some(short(id).to_owned()),
                is_immutable: repository.text("ImageTagMutability").as_deref() == Some("IMMUTABLE"),
                place,
                ..ImageFacts::default()
            };
        }
        if !is_known(&name) {
            not.insert("images whose names are not known before they are deployed".to_owned());
            return ImageFacts::default();
        }
        let host = name.split('/').next().unwrap_or_default();
        let ecr = ecr_host(host);
        let Some(known) = self.known else {
            not.insert(format!("the image {name}: no daemon is there to be asked"));
            return ImageFacts {
                account: ecr.map(|it| it.0.to_owned()),
                region: ecr.map(|it| it.1.to_owned()),
                name,
                place,
                ..ImageFacts::default()
            };
        };
        let found = existing_image(container).and_then(|it| known.images.get(&it.key()));
        let found = found.cloned().unwrap_or_default();
        if found.program.is_none() && !found.says_nothing && found.here.is_none() {
            not.insert(format!(
                "what is in the image {name}, which is not here yet"
            ));
        }
        ImageFacts {
            name,
            place,
            ..found
        }
    }

    fn log(
        &self,
        definition: &DeclaredResource,
        path: &str,
        container: &Json,
        not: &mut BTreeSet<String>,
    ) -> Option<LogFacts> {
        let (group, region) = log_options(container);
        let group = group?;
        let region = region.unwrap_or(self.declared.region.clone());
        let options = format!("{path}.LogConfiguration.Options");
        let at = |name: &str| definition.place_of(&format!("{options}.{name}"));
        let own = &container["LogConfiguration"]["Options"];
        let makes_it = flag(&own["awslogs-create-group"]) == Some(true);
        let made = self
            .declared
            .of_kind("AWS::Logs::LogGroup")
            .find(|(id, it)| {
                let name = it.text("LogGroupName");
                self.declared
                    .names(&own["awslogs-group"], id, name.as_deref())
            });
        let here = &self.declared.region;
        let mut facts = LogFacts {
            group: self.declared.shown(&own["awslogs-group"]),
            region: region.clone(),
            is_there: makes_it || !is_known(&region),
            place: at("awslogs-group"),
            ..LogFacts::default()
        };
        if facts.is_there {
            return Some(facts);
        }
        if made.is_some() {
            facts.is_there = region == *here;
            if !facts.is_there {
                facts.elsewhere = vec![here.clone()];
                facts.place = at("awslogs-region");
            }
            return Some(facts);
        }
        match self.known.and_then(|it| it.logs(&region, &group)) {
            Some(known) => {
                facts.is_there = known.is_there;
                facts.elsewhere.clone_from(&known.elsewhere);
                if !facts.elsewhere.is_empty() {
                    facts.place = at("awslogs-region");
                }
            }
            None => {
                facts.is_unknown = true;
                not.insert(match is_known(&group) {
                    true if self.known.is_some() => {
                        format!("the log group {group}: it was not asked about")
                    }
                    true => format!("the log group {group}: no daemon is there to be asked"),
                    false => "log groups whose names are given when it is deployed".to_owned(),
                });
            }
        }
        Some(facts)
    }

    fn missing_secrets(
        &self,
        definition: &DeclaredResource,
        path: &str,
        container: &Json,
        not: &mut BTreeSet<String>,
    ) -> Vec<MissingSecret> {
        let secrets = container["Secrets"].as_array().into_iter().flatten();
        let mut missing = Vec::new();
        for (at, it) in secrets.enumerate() {
            let Some(from) = it["ValueFrom"].as_str().filter(|it| is_known(it)) else {
                continue;
            };
            let made = self.declared.of_kind("AWS::SSM::Parameter");
            let is_made = made
                .into_iter()
                .any(|(_, it)| it.text("Name").as_deref() == Some(from));
            if self.known.is_some_and(|it| it.left.secrets.contains(from)) {
                not.insert(format!("the secret {from}: {TOO_MANY}"));
                continue;
            }
            match self.known.map(|it| it.missing_secrets.contains(from)) {
                None => {
                    not.insert(format!("the secret {from}: no daemon is there to be asked"));
                }
                Some(true) if !is_made => missing.push(MissingSecret {
                    variable: text(&it["Name"]).unwrap_or_default(),
                    value_from: from.to_owned(),
                    place: definition.place_of(&format!("{path}.Secrets.{at}.ValueFrom")),
                }),
                Some(_) => {}
            }
        }
        missing
    }
}

/// The instance pulls and logs then, over its own network, not the task's.
fn is_on_instances(service: &DeclaredResource, definition: Option<&DeclaredResource>) -> bool {
    if let Some(kind) = service.text("LaunchType") {
        return kind == "EC2";
    }
    let strategy = service.list("CapacityProviderStrategy");
    if !strategy.is_empty() {
        let is_fargate = |it: &Json| {
            it["CapacityProvider"]
                .as_str()
                .is_some_and(|it| it.starts_with("FARGATE"))
        };
        return !strategy.iter().any(is_fargate);
    }
    let asked = definition.map_or(&[][..], |it| it.list("RequiresCompatibilities"));
    matches!(asked, [only] if only == "EC2")
}

fn counts(id: &str, service: &DeclaredResource) -> ServiceFacts {
    let whole = |path: &str, other: i32| {
        let given = number(service.get(path)).and_then(|it| i32::try_from(it).ok());
        given.unwrap_or(other)
    };
    // CloudFormation makes one task where nobody says how many.
    let desired = match service.get("DesiredCount").is_null() {
        true => 1,
        false => whole("DesiredCount", 0),
    };
    ServiceFacts {
        name: short(id).to_owned(),
        desired,
        minimum_healthy_percent: whole("DeploymentConfiguration.MinimumHealthyPercent", 100),
        maximum_percent: whole("DeploymentConfiguration.MaximumPercent", 200),
        place: service.place_of("DeploymentConfiguration"),
        ..ServiceFacts::default()
    }
}

/// What a task's start asks of its execution role (ECS Developer Guide, "Amazon ECS task execution IAM role").
fn asked_of_role(definition: &DeclaredResource) -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    let mut ask = |actions: &[&str]| asked.extend(actions.iter().map(|it| (*it).to_owned()));
    for it in definition.list("ContainerDefinitions") {
        let image = text(&it["Image"]).unwrap_or_default();
        if image.contains(".dkr.ecr.") {
            ask(&[
                "ecr:GetAuthorizationToken",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
            ]);
        }
        if it["LogConfiguration"]["LogDriver"] == "awslogs" {
            ask(&["logs:CreateLogStream", "logs:PutLogEvents"]);
            let options = &it["LogConfiguration"]["Options"];
            if flag(&options["awslogs-create-group"]) == Some(true) {
                ask(&["logs:CreateLogGroup"]);
            }
        }
        for secret in it["Secrets"].as_array().into_iter().flatten() {
            let from = secret["ValueFrom"].as_str().unwrap_or_default();
            match from.contains(":secretsmanager:") {
                true => ask(&["secretsmanager:GetSecretValue"]),
                false if is_known(from) => ask(&["ssm:GetParameters"]),
                false => {}
            }
        }
    }
    asked
}

fn waits_for(container: &Json) -> Vec<(String, String)> {
    let all = container["DependsOn"].as_array().into_iter().flatten();
    all.filter_map(|it| Some((text(&it["ContainerName"])?, text(&it["Condition"])?)))
        .collect()
}

fn ports(container: &Json) -> Vec<u16> {
    let all = container["PortMappings"].as_array().into_iter().flatten();
    all.filter_map(|it| u16::try_from(number(&it["ContainerPort"])?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::health_program;

    #[test]
    fn a_health_checks_program_is_told_where_it_can_be() {
        let words = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        for (command, expect) in [
            (
                words(&["CMD-SHELL", "curl -f http://localhost/ || exit 1"]),
                Some("curl"),
            ),
            (
                words(&["CMD", "/bin/grpc_health_probe", "-addr=:1"]),
                Some("/bin/grpc_health_probe"),
            ),
            (words(&["CMD-SHELL", "test -f /ready"]), None),
            (words(&["CMD-SHELL", "$CHECK"]), None),
            (words(&["NONE"]), None),
        ] {
            assert_eq!(health_program(&command).as_deref(), expect, "{command:?}");
        }
    }
}
