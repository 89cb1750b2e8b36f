//! `cargo xtask coverage`: writes into the README what the executable says that it answers.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

const BEGIN: &str = "<!-- coverage -->";
const END: &str = "<!-- /coverage -->";

/// What services are called by people, by the names that their requests are signed with.
const TITLES: &[(&str, &str)] = &[
    ("acm", "Certificate Manager"),
    ("application-autoscaling", "Application Auto Scaling"),
    ("autoscaling", "EC2 Auto Scaling"),
    ("cloudformation", "CloudFormation"),
    ("ec2", "EC2"),
    ("ecr", "ECR"),
    ("ecs", "ECS"),
    ("elasticloadbalancing", "Elastic Load Balancing v2"),
    ("iam", "IAM"),
    ("kms", "KMS"),
    ("logs", "CloudWatch Logs"),
    ("sts", "STS"),
];

/// A service, as `neargate coverage --json` lists it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    service: String,
    operations: Vec<String>,
    members: Members,
    resource_types: Vec<String>,
}

/// Of the inputs of a service's operations, down to their structures.
#[derive(Deserialize)]
struct Members {
    honoured: usize,
    refused: usize,
}

/// Asks `program`, or the one that cargo builds here, and writes the README's section. With
/// `check_only` the README is compared and left as it is.
pub fn run(root: &Path, program: Option<PathBuf>, check_only: bool) -> Result<()> {
    let mut command = if let Some(program) = program {
        Command::new(program)
    } else {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["run", "--quiet", "--package", "neargate", "--"]);
        command.current_dir(root);
        command
    };
    let output = command
        .args(["coverage", "--json"])
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let services: Vec<Service> = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("what {command:?} printed"))?;
    let readme = root.join("README.md");
    let old = fs::read_to_string(&readme)?;
    let new = replace_section(&old, &section(&services))?;
    if check_only {
        ensure!(
            old == new,
            "the README's coverage is stale: run `cargo xtask coverage`"
        );
    } else if old != new {
        fs::write(&readme, new)?;
    }
    Ok(())
}

fn replace_section(readme: &str, section: &str) -> Result<String> {
    let (before, rest) = readme
        .split_once(BEGIN)
        .with_context(|| format!("README.md has no `{BEGIN}`"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("README.md has no `{END}`"))?;
    Ok(format!("{before}{BEGIN}\n{section}{END}{after}"))
}

/// A table to look at, and the operations' names behind a fold.
fn section(services: &[Service]) -> String {
    let operations: usize = services.iter().map(|it| it.operations.len()).sum();
    let types: usize = services.iter().map(|it| it.resource_types.len()).sum();
    let mut text = format!(
        "{operations} operations of {} services, and {types} CloudFormation resource types.\n\n\
         | service | operations | members of their inputs | resource types |\n|---|---|---|---|\n",
        services.len()
    );
    let mut names = "\n<details><summary>The operations by name</summary>\n".to_owned();
    for it in services {
        let (title, count) = (title(&it.service), it.operations.len());
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {title} | {count} | {} of {} | {} |",
            it.members.honoured,
            it.members.honoured + it.members.refused,
            words(&it.resource_types)
        );
        let _ = writeln!(names, "\n**{title}**: {}", words(&it.operations));
    }
    text + &names + "\n</details>\n"
}

fn title(signing_name: &str) -> &str {
    TITLES
        .iter()
        .find(|(name, _)| *name == signing_name)
        .map_or(signing_name, |(_, title)| title)
}

fn words(names: &[String]) -> String {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort();
    let names: Vec<String> = names.iter().map(|it| format!("`{it}`")).collect();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_between_the_markers_is_replaced_and_nothing_else() {
        let services: Vec<Service> = serde_json::from_str(
            r#"[{"service": "sts", "operations": ["GetCallerIdentity", "AssumeRole"],
                "members": {"honoured": 5, "refused": 3}, "resourceTypes": []},
                {"service": "new", "operations": ["Do"], "members": {"honoured": 1, "refused": 0}, "resourceTypes": ["AWS::New::Thing"]}]"#,
        )
        .unwrap();
        let readme = format!("before\n{BEGIN}\nstale\n{END}\nafter\n");
        let fresh = replace_section(&readme, &section(&services)).unwrap();
        assert_eq!(
            fresh,
            format!(
                "before\n{BEGIN}\n\
                 3 operations of 2 services, and 1 CloudFormation resource types.\n\n\
                 | service | operations | members of their inputs | resource types |\n|---|---|---|---|\n\
                 | STS | 2 | 5 of 8 |  |\n\
                 | new | 1 | 1 of 1 | `AWS::New::Thing` |\n\n\
                 <details><summary>The operations by name</summary>\n\n\
                 **STS**: `AssumeRole` `GetCallerIdentity`\n\n\
                 **new**: `Do`\n\n</details>\n{END}\nafter\n"
            )
        );
        assert_eq!(replace_section(&fresh, &section(&services)).unwrap(), fresh);
    }

    #[test]
    fn a_readme_without_markers_is_refused() {
        assert!(replace_section("no markers", "").is_err());
    }
}
