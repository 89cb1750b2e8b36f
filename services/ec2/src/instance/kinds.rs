//! Types of instances, as data (EC2 User Guide, "Amazon EC2 instance types"). One has what it says of this
//! machine's processors and memory, as a limit: a machine that has less makes it slower and no smaller.

/// What a program for this machine is compiled for.
pub const HERE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    pub name: String,
    pub family: &'static Family,
    pub vcpus: u32,
    pub memory_mib: u32,
}

#[derive(Debug, PartialEq)]
pub struct Family {
    pub name: &'static str,
    pub architecture: &'static str,
    /// Its processor time is earned and spent: what it costs is accounted on AWS, and nothing here.
    pub is_burstable: bool,
    pub is_nitro: bool,
    pub credits: &'static str,
    pub threads_per_core: u32,
    pub clock_ghz: f64,
    pub maker: &'static str,
    sizes: &'static [(&'static str, u32, u32)],
}

const T2: &[(&str, u32, u32)] = &[
    ("nano", 1, 512),
    ("micro", 1, 1024),
    ("small", 1, 2048),
    ("medium", 2, 4096),
    ("large", 2, 8192),
    ("xlarge", 4, 16_384),
    ("2xlarge", 8, 32_768),
];
const T3: &[(&str, u32, u32)] = &[
    ("nano", 2, 512),
    ("micro", 2, 1024),
    ("small", 2, 2048),
    ("medium", 2, 4096),
    ("large", 2, 8192),
    ("xlarge", 4, 16_384),
    ("2xlarge", 8, 32_768),
];
const M: &[(&str, u32, u32)] = &[
    ("large", 2, 8192),
    ("xlarge", 4, 16_384),
    ("2xlarge", 8, 32_768),
    ("4xlarge", 16, 65_536),
    ("8xlarge", 32, 131_072),
    ("12xlarge", 48, 196_608),
    ("16xlarge", 64, 262_144),
];
const C: &[(&str, u32, u32)] = &[
    ("large", 2, 4096),
    ("xlarge", 4, 8192),
    ("2xlarge", 8, 16_384),
    ("4xlarge", 16, 32_768),
    ("9xlarge", 36, 73_728),
    ("12xlarge", 48, 98_304),
    ("18xlarge", 72, 147_456),
];
const C_EVEN: &[(&str, u32, u32)] = &[
    ("large", 2, 4096),
    ("xlarge", 4, 8192),
    ("2xlarge", 8, 16_384),
    ("4xlarge", 16, 32_768),
    ("8xlarge", 32, 65_536),
    ("12xlarge", 48, 98_304),
    ("16xlarge", 64, 131_072),
];
const R: &[(&str, u32, u32)] = &[
    ("large", 2, 16_384),
    ("xlarge", 4, 32_768),
    ("2xlarge", 8, 65_536),
    ("4xlarge", 16, 131_072),
    ("8xlarge", 32, 262_144),
    ("12xlarge", 48, 393_216),
    ("16xlarge", 64, 524_288),
];
const GRAVITON: &[(&str, u32, u32)] = &[
    ("medium", 1, 4096),
    ("large", 2, 8192),
    ("xlarge", 4, 16_384),
    ("2xlarge", 8, 32_768),
    ("4xlarge", 16, 65_536),
    ("8xlarge", 32, 131_072),
    ("12xlarge", 48, 196_608),
    ("16xlarge", 64, 262_144),
];

const fn x86(
    name: &'static str,
    maker: &'static str,
    clock_ghz: f64,
    sizes: &'static [(&'static str, u32, u32)],
) -> Family {
    Family {
        name,
        architecture: "x86_64",
        is_burstable: false,
        is_nitro: true,
        credits: "standard",
        threads_per_core: 2,
        clock_ghz,
        maker,
        sizes,
    }
}

const fn arm(name: &'static str, sizes: &'static [(&'static str, u32, u32)]) -> Family {
    Family {
        architecture: "arm64",
        threads_per_core: 1,
        ..x86(name, "AWS", 2.5, sizes)
    }
}

const fn burstable(credits: &'static str, of: Family) -> Family {
    Family {
        is_burstable: true,
        credits,
        ..of
    }
}

static FAMILIES: &[Family] = &[
    Family {
        is_nitro: false,
        threads_per_core: 1,
        ..burstable("standard", x86("t2", "Intel", 2.5, T2))
    },
    burstable("unlimited", x86("t3", "Intel", 2.5, T3)),
    burstable("unlimited", x86("t3a", "AMD", 2.2, T3)),
    burstable("unlimited", arm("t4g", T3)),
    x86("m5", "Intel", 3.1, M),
    x86("m5a", "AMD", 2.5, M),
    x86("m6i", "Intel", 3.5, M),
    x86("m6a", "AMD", 3.6, M),
    arm("m6g", GRAVITON),
    arm("m7g", GRAVITON),
    x86("m7i", "Intel", 3.2, M),
    x86("c5", "Intel", 3.4, C),
    x86("c6i", "Intel", 3.5, C_EVEN),
    x86("c7i", "Intel", 3.2, C_EVEN),
    x86("r5", "Intel", 3.1, R),
    x86("r6i", "Intel", 3.5, R),
];

pub fn find(name: &str) -> Option<Kind> {
    let (family, size) = name.split_once('.')?;
    let family = FAMILIES.iter().find(|it| it.name == family)?;
    let sized = family.sizes.iter().find(|it| it.0 == size)?;
    Some(kind(family, sized))
}

pub fn all() -> impl Iterator<Item = Kind> {
    FAMILIES
        .iter()
        .flat_map(|family| family.sizes.iter().map(move |it| kind(family, it)))
}

fn kind(family: &'static Family, (size, vcpus, memory_mib): &(&str, u32, u32)) -> Kind {
    Kind {
        name: format!("{}.{size}", family.name),
        family,
        vcpus: *vcpus,
        memory_mib: *memory_mib,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_what_aws_says() {
        for (name, vcpus, memory_mib, architecture) in [
            ("t2.micro", 1, 1024, "x86_64"),
            ("t3.nano", 2, 512, "x86_64"),
            ("t4g.small", 2, 2048, "arm64"),
            ("m5.large", 2, 8192, "x86_64"),
            ("c5.9xlarge", 36, 73_728, "x86_64"),
            ("r5.xlarge", 4, 32_768, "x86_64"),
        ] {
            let kind = find(name).unwrap();
            assert_eq!(kind.family.architecture, architecture, "{name}");
            assert_eq!((kind.vcpus, kind.memory_mib), (vcpus, memory_mib), "{name}");
        }
        assert_eq!(find("t2.huge"), None);
        assert_eq!(find("m1"), None);
        let mut names: Vec<String> = all().map(|it| it.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
