//! The images that there are: public ones that everybody knows, by the names that their owners give them.
//! What an id is follows from the region and the name, so that it is the same on every machine. An image is
//! a name until somebody runs it: where its root file system comes from says [`super::root`].

/// What an image is of, and where a root file system of it comes from.
#[derive(Debug, PartialEq, Eq)]
pub struct Distribution {
    /// The name under which an imported image stands for it: `ami/al2023`.
    pub own: &'static str,
    /// A public container image of it.
    pub public: &'static str,
    /// Where its disk is.
    pub device: &'static str,
    pub user: &'static str,
    pub gib: i32,
    pub is_ecs: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueImage {
    pub id: String,
    pub name: String,
    pub owner: &'static Publisher,
    pub description: String,
    pub architecture: &'static str,
    pub created: &'static str,
    pub is_deprecated: bool,
    /// Nothing is told without a token, unless who runs it says otherwise.
    pub needs_token: bool,
    pub distribution: &'static Distribution,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Publisher {
    pub account: &'static str,
    pub alias: Option<&'static str>,
}

static AMAZON: Publisher = Publisher {
    account: "137112412989",
    alias: Some("amazon"),
};
static AMAZON_ECS: Publisher = Publisher {
    account: "591542846629",
    alias: Some("amazon"),
};
static DEBIAN: Publisher = Publisher {
    account: "136693071363",
    alias: None,
};
static CANONICAL: Publisher = Publisher {
    account: "099720109477",
    alias: None,
};

const AL2023: Distribution = Distribution {
    own: "ami/al2023",
    public: "public.ecr.aws/amazonlinux/amazonlinux:2023",
    device: "/dev/xvda",
    user: "ec2-user",
    gib: 8,
    is_ecs: false,
};
const AL2: Distribution = Distribution {
    own: "ami/al2",
    public: "public.ecr.aws/amazonlinux/amazonlinux:2",
    ..AL2023
};
const AL1: Distribution = Distribution {
    own: "ami/al1",
    public: "public.ecr.aws/amazonlinux/amazonlinux:1",
    ..AL2023
};
const fn for_ecs(of: Distribution, own: &'static str) -> Distribution {
    Distribution {
        own,
        gib: 30,
        is_ecs: true,
        ..of
    }
}
const fn debian(own: &'static str, public: &'static str) -> Distribution {
    Distribution {
        own,
        public,
        user: "admin",
        ..AL2023
    }
}
const fn ubuntu(own: &'static str, public: &'static str) -> Distribution {
    Distribution {
        own,
        public,
        device: "/dev/sda1",
        user: "ubuntu",
        gib: 8,
        is_ecs: false,
    }
}

/// Names of a line of images: `{arch}` is how their owner writes an architecture.
struct Series {
    name: &'static str,
    description: &'static str,
    owner: &'static Publisher,
    architectures: &'static [(&'static str, &'static str)],
    created: &'static str,
    is_deprecated: bool,
    needs_token: bool,
    distribution: Distribution,
}

const BOTH: &[(&str, &str)] = &[("x86_64", "x86_64"), ("arm64", "arm64")];
const X86: &[(&str, &str)] = &[("x86_64", "x86_64")];
const DEBIAN_BOTH: &[(&str, &str)] = &[("amd64", "x86_64"), ("arm64", "arm64")];

static SERIES: &[Series] = &[
    Series {
        name: "al2023-ami-2023.8.20250915.0-kernel-6.1-{arch}",
        description: "Amazon Linux 2023 AMI 2023.8.20250915.0 {arch} HVM kernel-6.1",
        owner: &AMAZON,
        architectures: BOTH,
        created: "2025-09-16T00:12:41.000Z",
        is_deprecated: false,
        needs_token: true,
        distribution: AL2023,
    },
    Series {
        name: "al2023-ami-2023.0.20230503.0-kernel-6.1-{arch}",
        description: "Amazon Linux 2023 AMI 2023.0.20230503.0 {arch} HVM kernel-6.1",
        owner: &AMAZON,
        architectures: BOTH,
        created: "2023-05-03T22:14:53.000Z",
        is_deprecated: true,
        needs_token: true,
        distribution: AL2023,
    },
    Series {
        name: "al2023-ami-minimal-2023.8.20250915.0-kernel-6.1-{arch}",
        description: "Amazon Linux 2023 AMI 2023.8.20250915.0 {arch} Minimal HVM kernel-6.1",
        owner: &AMAZON,
        architectures: BOTH,
        created: "2025-09-16T00:12:42.000Z",
        is_deprecated: false,
        needs_token: true,
        distribution: AL2023,
    },
    Series {
        name: "amzn2-ami-hvm-2.0.20250915.0-{arch}-gp2",
        description: "Amazon Linux 2 AMI 2.0.20250915.0 {arch} HVM gp2",
        owner: &AMAZON,
        architectures: BOTH,
        created: "2025-09-16T17:43:10.000Z",
        is_deprecated: false,
        needs_token: false,
        distribution: AL2,
    },
    Series {
        name: "amzn2-ami-kernel-5.10-hvm-2.0.20250915.0-{arch}-gp2",
        description: "Amazon Linux 2 Kernel 5.10 AMI 2.0.20250915.0 {arch} HVM gp2",
        owner: &AMAZON,
        architectures: BOTH,
        created: "2025-09-16T17:43:11.000Z",
        is_deprecated: false,
        needs_token: false,
        distribution: AL2,
    },
    Series {
        name: "al2023-ami-ecs-hvm-2023.0.20250910-kernel-6.1-{arch}",
        description: "Amazon Linux AMI 2023.0.20250910 {arch} ECS HVM EBS",
        owner: &AMAZON_ECS,
        architectures: BOTH,
        created: "2025-09-10T22:31:07.000Z",
        is_deprecated: false,
        needs_token: true,
        distribution: for_ecs(AL2023, "ami/al2023-ecs"),
    },
    Series {
        name: "amzn2-ami-ecs-hvm-2.0.20250910-{arch}-ebs",
        description: "Amazon Linux AMI 2.0.20250910 {arch} ECS HVM GP2",
        owner: &AMAZON_ECS,
        architectures: BOTH,
        created: "2025-09-10T22:31:05.000Z",
        is_deprecated: false,
        needs_token: false,
        distribution: for_ecs(AL2, "ami/al2-ecs"),
    },
    Series {
        name: "amzn-ami-2018.03.20230726-amazon-ecs-optimized",
        description: "Amazon Linux AMI 2018.03.w x86_64 ECS HVM GP2",
        owner: &AMAZON_ECS,
        architectures: X86,
        created: "2023-07-26T20:58:58.000Z",
        is_deprecated: false,
        needs_token: false,
        distribution: for_ecs(AL1, "ami/al1-ecs"),
    },
    Series {
        name: "debian-12-{arch}-20250911-2232",
        description: "Debian 12 (20250911-2232)",
        owner: &DEBIAN,
        architectures: DEBIAN_BOTH,
        created: "2025-09-11T10:04:52.000Z",
        is_deprecated: false,
        needs_token: false,
        distribution: debian("ami/debian-12", "public.ecr.aws/docker/library/debian:12"),
    },
    Series {
        name: "debian-13-{arch}-20250911-2232",
        description: "Debian 13 (20250911-2232)",
        owner: &DEBIAN,
        architectures: DEBIAN_BOTH,
        created: "2025-09-11T10:05:12.000Z",
        is_deprecated: false,
        needs_token: true,
        distribution: debian("ami/debian-13", "public.ecr.aws/docker/library/debian:13"),
    },
    Series {
        name: "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-{arch}-server-20250508",
        description: "Canonical, Ubuntu, 20.04 LTS, {arch} focal image build on 2025-05-08",
        owner: &CANONICAL,
        architectures: DEBIAN_BOTH,
        created: "2025-05-08T05:40:20.000Z",
        is_deprecated: false,
        needs_token: false,
        distribution: ubuntu(
            "ami/ubuntu-20.04",
            "public.ecr.aws/docker/library/ubuntu:20.04",
        ),
    },
    Series {
        name: "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-{arch}-server-20250822",
        description: "Canonical, Ubuntu, 22.04 LTS, {arch} jammy image build on 2025-08-22",
        owner: &CANONICAL,
        architectures: DEBIAN_BOTH,
        created: "2025-08-22T04:56:08.000Z",
        is_deprecated: false,
        needs_token: false,
        distribution: ubuntu(
            "ami/ubuntu-22.04",
            "public.ecr.aws/docker/library/ubuntu:22.04",
        ),
    },
    Series {
        name: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{arch}-server-20250821",
        description: "Canonical, Ubuntu, 24.04 LTS, {arch} noble image build on 2025-08-21",
        owner: &CANONICAL,
        architectures: DEBIAN_BOTH,
        created: "2025-08-21T05:12:33.000Z",
        is_deprecated: false,
        needs_token: true,
        distribution: ubuntu(
            "ami/ubuntu-24.04",
            "public.ecr.aws/docker/library/ubuntu:24.04",
        ),
    },
];

/// All images of a region.
pub fn all(region: &str) -> impl Iterator<Item = CatalogueImage> + '_ {
    SERIES.iter().flat_map(move |series| {
        let of = move |(written, architecture): &(&'static str, &'static str)| CatalogueImage {
            id: id(region, &series.name.replace("{arch}", written)),
            name: series.name.replace("{arch}", written),
            owner: series.owner,
            description: series.description.replace("{arch}", written),
            architecture,
            created: series.created,
            is_deprecated: series.is_deprecated,
            needs_token: series.needs_token,
            distribution: &series.distribution,
        };
        series.architectures.iter().map(of)
    })
}

pub fn find(region: &str, id: &str) -> Option<CatalogueImage> {
    all(region).find(|it| it.id == id)
}

fn id(region: &str, name: &str) -> String {
    let digits = cloud::token_hex(&format!("{region}/{name}"), "ami-", 17);
    format!("ami-{digits}")
}

impl CatalogueImage {
    pub fn snapshot(&self) -> String {
        format!("snap-{}", cloud::token_hex(&self.id, "snap-", 17))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_told_apart_and_depend_on_the_region() {
        let ids = |region: &str| -> Vec<String> { all(region).map(|it| it.id).collect() };
        let (here, there) = (ids("eu-west-1"), ids("us-east-1"));
        let distinct: std::collections::BTreeSet<&String> = here.iter().chain(&there).collect();
        assert_eq!(distinct.len(), here.len() + there.len());
        let found = find("eu-west-1", &here[0]).unwrap();
        assert_eq!(found.architecture, "x86_64");
        assert!(found.name.ends_with("-x86_64"), "{}", found.name);
        assert_eq!(find("us-east-1", &here[0]), None);
    }
}
