//! What an instance does when it boots, as cloud-init does it: files below `/var/lib/cloud`, and a script of
//! the shell that its init runs. Pure. What it writes goes to the console and into
//! `/var/log/cloud-init-output.log`.

use super::user_data::{FileToWrite, UserData, quoted};

/// What is written into a root before its first boot, by paths below it, and what is run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Boot {
    pub files: Vec<(String, Vec<u8>)>,
    pub script: String,
}

/// What is known of an instance when it boots.
pub struct Booted<'a> {
    pub id: &'a str,
    /// 1 is the first boot.
    pub number: u32,
    /// The user that its image has.
    pub user: &'a str,
    /// In the form of `authorized_keys`.
    pub public_key: Option<&'a str>,
}

/// The frame of the script: everything is said on the console and in the log.
const FRAME: &str = r#"
say() { printf '[cloud-init] %s\n' "$1"; }
failed() { printf 'cloud-init[1]: [WARNING]: %s\n' "$1"; }
mkdir -p /var/log /run "$cloud" /var/lib/cloud/data
ln -sfn "$cloud" /var/lib/cloud/instance
printf '%s\n' "$id" > /var/lib/cloud/data/instance-id
rm -f "$cloud/boot-finished"
boot 2>&1 </dev/null | tee -a /var/log/cloud-init-output.log
"#;

const END: &str = r#"  if [ -d /var/lib/cloud/scripts/per-boot ]; then
    for it in /var/lib/cloud/scripts/per-boot/*; do
      if [ -x "$it" ]; then "$it" || failed "Failed to run $it"; fi
    done
  fi
  if [ -x /etc/rc.local ]; then /etc/rc.local || failed "Failed to run /etc/rc.local"; fi
  date -u > "$cloud/boot-finished"
  say "Cloud-init finished at $(date -u '+%a, %d %b %Y %H:%M:%S +0000'). Datasource DataSourceEc2."
"#;

/// The distribution's own program takes the packages.
const PACKAGES: &str = r#"packages() {
  if command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    if [ "$1" != - ] || [ "$2" != - ] || [ $# -gt 2 ]; then apt-get update --quiet || return 1; fi
    if [ "$2" != - ]; then apt-get upgrade --yes --quiet || return 1; fi
    shift 2
    if [ $# -gt 0 ]; then apt-get install --yes --quiet --no-install-recommends "$@" || return 1; fi
    return 0
  fi
  for tool in dnf yum; do
    if command -v "$tool" >/dev/null 2>&1; then
      if [ "$2" != - ]; then "$tool" -y upgrade || return 1; fi
      shift 2
      if [ $# -gt 0 ]; then
        for it in "$@"; do
          shift
          set -- "$@" "$(printf '%s' "$it" | tr = -)"
        done
        "$tool" -y install "$@" || return 1
      fi
      return 0
    fi
  done
  if command -v apk >/dev/null 2>&1; then
    shift 2
    if [ $# -gt 0 ]; then apk add --no-cache "$@" || return 1; fi
    return 0
  fi
  failed "there is no apt-get, dnf, yum or apk"
  return 1
}
"#;

/// The directory of an instance below its root, as cloud-init has it.
fn directory(id: &str) -> String {
    format!("var/lib/cloud/instances/{id}")
}

pub fn boot(of: &Booted<'_>, given: Option<&[u8]>, data: &UserData) -> Boot {
    let below = directory(of.id);
    let mut out = Boot::default();
    let mut body = String::from("boot() {\n  :\n");
    out.file(&below, "user-data.txt", given.unwrap_or_default());
    for (index, hook) in data.boot_hooks.iter().enumerate() {
        let name = format!("boothooks/part-{:03}", index + 1);
        out.file(&below, &name, hook);
        body.push_str(&run(&name));
    }
    if !data.boot_commands.is_empty() {
        out.file(&below, "bootcmd", &shell_script(&data.boot_commands));
        body.push_str(&run("bootcmd"));
    }
    if of.number == 1 {
        body.push_str(&first_boot(&mut out, &below, of, data));
    }
    body.push_str(END);
    body.push_str("}\n");
    out.script = format!(
        "id={}\ncloud=/{below}\n{PACKAGES}{body}{FRAME}",
        quoted(of.id)
    );
    out
}

fn first_boot(out: &mut Boot, below: &str, of: &Booted<'_>, data: &UserData) -> String {
    let mut body = String::new();
    for (index, file) in data.files.iter().enumerate() {
        let name = format!("files/{index}");
        out.file(below, &name, &file.content);
        body.push_str(&write(&name, file));
    }
    if let Some(key) = of.public_key {
        out.file(below, "authorized_keys", format!("{key}\n").as_bytes());
        body.push_str(&let_in(of.user));
    }
    if data.updates_packages || data.upgrades_packages || !data.packages.is_empty() {
        let sign = |is_on: bool, word: &'static str| if is_on { word } else { "-" };
        let names: Vec<String> = data.packages.iter().map(|it| quoted(it)).collect();
        body.push_str(&format!(
            "  packages {} {} {} || failed 'Failed to install packages'\n",
            sign(data.updates_packages, "update"),
            sign(data.upgrades_packages, "upgrade"),
            names.join(" ")
        ));
    }
    let mut scripts: Vec<(String, Vec<u8>)> = Vec::new();
    for (index, script) in data.scripts.iter().enumerate() {
        scripts.push((format!("scripts/part-{:03}", index + 1), script.clone()));
    }
    if !data.run_commands.is_empty() {
        scripts.push((
            "scripts/runcmd".to_owned(),
            shell_script(&data.run_commands),
        ));
    }
    for (name, script) in scripts {
        out.file(below, &name, &script);
        body.push_str(&run(&name));
    }
    body
}

impl Boot {
    fn file(&mut self, below: &str, name: &str, content: &[u8]) {
        self.files
            .push((format!("{below}/{name}"), content.to_vec()));
    }
}

fn shell_script(lines: &[String]) -> Vec<u8> {
    format!("#!/bin/sh\n{}\n", lines.join("\n")).into_bytes()
}

/// Runs one of its own files as the program that it is.
fn run(name: &str) -> String {
    format!(
        "  chmod 700 \"$cloud/{name}\" && \"$cloud/{name}\" || failed \"Failed to run {name}: exit status $?\"\n"
    )
}

fn write(name: &str, file: &FileToWrite) -> String {
    let path = quoted(&file.path);
    let into = if file.appends { ">>" } else { ">" };
    let mode = file.permissions.as_deref();
    // As cloud-init's default for a file that it makes.
    let mode = mode.or((!file.appends).then_some("0644"));
    let mode = mode.map_or(String::new(), |it| format!(" && chmod {it} {path}"));
    let owner = file.owner.as_deref();
    let owner = owner.map_or(String::new(), |it| {
        format!(" && chown {} {path}", quoted(it))
    });
    format!(
        "  mkdir -p \"$(dirname {path})\" && cat \"$cloud/{name}\" {into} {path}{mode}{owner} || failed {}\n",
        quoted(&format!("Failed to write {}", file.path))
    )
}

/// The image's user is there, and may be logged in as with the key.
fn let_in(user: &str) -> String {
    format!(
        "  id {user} >/dev/null 2>&1 || useradd -m -s /bin/sh {user} 2>/dev/null || adduser -D {user} 2>/dev/null\n  \
         home=$(awk -F: '$1 == \"{user}\" {{ print $6 }}' /etc/passwd 2>/dev/null)\n  \
         if [ -n \"$home\" ]; then mkdir -p \"$home/.ssh\" && cat \"$cloud/authorized_keys\" >> \"$home/.ssh/authorized_keys\" \
         && chmod 700 \"$home/.ssh\" && chmod 600 \"$home/.ssh/authorized_keys\" && chown -R {user} \"$home/.ssh\"; fi\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::user_data::parse;
    use super::*;

    fn booted(number: u32, text: &str) -> Boot {
        let of = Booted {
            id: "i-1",
            number,
            user: "admin",
            public_key: None,
        };
        boot(&of, Some(text.as_bytes()), &parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn scripts_run_at_the_first_boot_alone() {
        let text = "#!/bin/sh\necho once\n";
        let first = booted(1, text);
        assert!(
            first.script.contains("scripts/part-001"),
            "{}",
            first.script
        );
        let names: Vec<&str> = first.files.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(
            names,
            [
                "var/lib/cloud/instances/i-1/user-data.txt",
                "var/lib/cloud/instances/i-1/scripts/part-001"
            ]
        );
        assert!(!booted(2, text).script.contains("part-001"));
        let hook = "#cloud-boothook\n#!/bin/sh\ntrue\n";
        assert!(booted(2, hook).script.contains("boothooks/part-001"));
    }

    #[test]
    fn names_are_words_of_the_shell() {
        let text = "#cloud-config\nwrite_files: [{path: \"/etc/it's\", content: x}]\npackages: [\"a;b\"]\n";
        let script = booted(1, text).script;
        assert!(
            script.contains(r"> '/etc/it'\''s' && chmod 0644"),
            "{script}"
        );
        assert!(script.contains("packages - - 'a;b'"), "{script}");
    }
}
