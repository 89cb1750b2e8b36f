//! Names of the models as Rust names.

/// `VpcId` and `vpcId` as `vpc_id`; `DNSName` as `dns_name`.
pub fn snake(name: &str) -> String {
    let letters: Vec<char> = name.replace("IPv", "Ipv").chars().collect();
    let mut out = String::new();
    for (index, letter) in letters.iter().enumerate() {
        if matches!(letter, '-' | '.' | '_') {
            out.push('_');
            continue;
        }
        let before = index.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(index + 1);
        let starts_word = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
            });
        if starts_word && !out.ends_with('_') {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// `cluster_name` as `clusterName` or `ClusterName`, exactly as the derive writes it.
pub fn camel(field: &str, pascal: bool) -> String {
    let mut out = String::new();
    let mut upper = pascal;
    for letter in field.chars() {
        match letter {
            '_' => upper = true,
            _ if upper => {
                out.push(letter.to_ascii_uppercase());
                upper = false;
            }
            _ => out.push(letter),
        }
    }
    out
}

/// A field's name; keywords become raw identifiers.
pub fn field(name: &str) -> String {
    const KEYWORDS: [&str; 32] = [
        "as", "async", "const", "dyn", "enum", "for", "if", "impl", "in", "loop", "match", "mod",
        "move", "mut", "pub", "ref", "static", "type", "use", "where", "return", "break",
        "continue", "else", "extern", "false", "true", "try", "while", "struct", "trait", "yield",
    ];
    let name = snake(name);
    if name == "self" {
        "self_".into()
    } else if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}

/// A type's name. Names of Rust's prelude get a suffix.
pub fn type_name(name: &str) -> String {
    const TAKEN: [&str; 11] = [
        "Box", "BTreeMap", "Err", "None", "Ok", "Option", "Result", "Self", "Some", "String", "Vec",
    ];
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let name = format!("{}{}", name[..1].to_ascii_uppercase(), &name[1..]);
    if TAKEN.contains(&name.as_str()) {
        format!("{name}Shape")
    } else {
        name
    }
}

/// An enum's value as a variant: `INTERNET_FACING` as `InternetFacing`, `2xx` as `V2xx`.
pub fn variant(value: &str) -> String {
    let words = value
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let mut out = String::new();
    for word in words {
        let (first, rest) = word.split_at(1);
        out.push_str(&first.to_ascii_uppercase());
        let shouted = !word.bytes().any(|byte| byte.is_ascii_lowercase());
        out.push_str(&if shouted {
            rest.to_ascii_lowercase()
        } else {
            rest.to_owned()
        });
    }
    match out.chars().next() {
        None => "Empty".into(),
        Some(first) if first.is_ascii_digit() => format!("V{out}"),
        Some(_) if out == "Self" => "SelfValue".into(),
        Some(_) => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_readable() {
        let snakes = [
            ("clusterName", "cluster_name"),
            ("VpcId", "vpc_id"),
            ("DNSName", "dns_name"),
            ("enableECSManagedTags", "enable_ecs_managed_tags"),
            ("IPv6CidrBlock", "ipv6_cidr_block"),
            ("CidrIpv6", "cidr_ipv6"),
        ];
        for (name, expected) in snakes {
            assert_eq!(snake(name), expected);
        }
        assert_eq!(field("Type"), "r#type");
        assert_eq!(variant("internet-facing"), "InternetFacing");
        assert_eq!(variant("HTTP_BASIC"), "HttpBasic");
        assert_eq!(variant("2xx"), "V2xx");
        assert_eq!(type_name("Option"), "OptionShape");
    }
}
