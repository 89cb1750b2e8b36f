//! The kinds of actions that are built, and what each of them takes. A structure with any other is
//! refused by name (CodePipeline User Guide, "Action structure reference").

use shapes::codepipeline::*;

/// A member of an action's configuration.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub name: &'static str,
    pub required: bool,
    pub secret: bool,
}

const fn needs(name: &'static str) -> Setting {
    Setting {
        name,
        required: true,
        secret: false,
    }
}

const fn takes(name: &'static str) -> Setting {
    Setting {
        name,
        required: false,
        secret: false,
    }
}

const fn secret(name: &'static str) -> Setting {
    Setting {
        name,
        required: true,
        secret: true,
    }
}

/// What carries an action out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    GitHub,
    Connection,
    CodeCommit,
    S3Source,
    EcrSource,
    CodeBuild,
    Ecs,
    CloudFormation,
    S3Deploy,
    Manual,
}

impl Driver {
    /// Whether its revisions are commits of a Git repository.
    pub fn is_git(self) -> bool {
        matches!(self, Self::GitHub | Self::Connection | Self::CodeCommit)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub category: ActionCategory,
    pub owner: ActionOwner,
    pub provider: &'static str,
    pub driver: Driver,
    pub settings: &'static [Setting],
    /// How many artifacts it takes, at least and at most.
    pub inputs: (usize, usize),
    pub outputs: (usize, usize),
}

/// Every kind here has this one version.
pub const VERSION: &str = "1";

const CODEBUILD: &[Setting] = &[
    needs("ProjectName"),
    takes("PrimarySource"),
    takes("EnvironmentVariables"),
];

const fn source(
    owner: ActionOwner,
    provider: &'static str,
    driver: Driver,
    settings: &'static [Setting],
) -> Kind {
    Kind {
        category: ActionCategory::Source,
        owner,
        provider,
        driver,
        settings,
        inputs: (0, 0),
        outputs: (1, 1),
    }
}

const fn codebuild(category: ActionCategory) -> Kind {
    Kind {
        category,
        owner: ActionOwner::Aws,
        provider: "CodeBuild",
        driver: Driver::CodeBuild,
        settings: CODEBUILD,
        inputs: (1, 5),
        outputs: (0, 5),
    }
}

const fn deploy(provider: &'static str, driver: Driver, settings: &'static [Setting]) -> Kind {
    Kind {
        category: ActionCategory::Deploy,
        owner: ActionOwner::Aws,
        provider,
        driver,
        settings,
        inputs: (1, 1),
        outputs: (0, 0),
    }
}

pub const KINDS: &[Kind] = &[
    source(
        ActionOwner::ThirdParty,
        "GitHub",
        Driver::GitHub,
        &[
            needs("Owner"),
            needs("Repo"),
            needs("Branch"),
            secret("OAuthToken"),
            takes("PollForSourceChanges"),
        ],
    ),
    source(
        ActionOwner::Aws,
        "CodeStarSourceConnection",
        Driver::Connection,
        &[
            needs("ConnectionArn"),
            needs("FullRepositoryId"),
            needs("BranchName"),
            takes("OutputArtifactFormat"),
            takes("DetectChanges"),
        ],
    ),
    source(
        ActionOwner::Aws,
        "CodeCommit",
        Driver::CodeCommit,
        &[
            needs("RepositoryName"),
            needs("BranchName"),
            takes("PollForSourceChanges"),
            takes("OutputArtifactFormat"),
        ],
    ),
    source(
        ActionOwner::Aws,
        "S3",
        Driver::S3Source,
        &[
            needs("S3Bucket"),
            needs("S3ObjectKey"),
            takes("PollForSourceChanges"),
        ],
    ),
    source(
        ActionOwner::Aws,
        "ECR",
        Driver::EcrSource,
        &[needs("RepositoryName"), takes("ImageTag")],
    ),
    codebuild(ActionCategory::Build),
    codebuild(ActionCategory::Test),
    deploy(
        "ECS",
        Driver::Ecs,
        &[
            needs("ClusterName"),
            needs("ServiceName"),
            takes("FileName"),
            takes("DeploymentTimeout"),
        ],
    ),
    Kind {
        inputs: (0, 10),
        outputs: (0, 1),
        ..deploy(
            "CloudFormation",
            Driver::CloudFormation,
            &[
                needs("ActionMode"),
                needs("StackName"),
                takes("ChangeSetName"),
                takes("Capabilities"),
                takes("OutputFileName"),
                takes("ParameterOverrides"),
                takes("RoleArn"),
                takes("TemplateConfiguration"),
                takes("TemplatePath"),
            ],
        )
    },
    deploy(
        "S3",
        Driver::S3Deploy,
        &[
            needs("BucketName"),
            needs("Extract"),
            takes("ObjectKey"),
            takes("CacheControl"),
        ],
    ),
    Kind {
        category: ActionCategory::Approval,
        inputs: (0, 0),
        ..deploy(
            "Manual",
            Driver::Manual,
            &[takes("CustomData"), takes("ExternalEntityLink")],
        )
    },
];

/// Settings that AWS has and that would have an effect which is not built: refused by name. Any other
/// that is not listed above is unknown to AWS as well.
pub const UNBUILT_SETTINGS: &[&str] = &[
    "AllowOverrideForS3ObjectKey",
    "BatchEnabled",
    "CannedACL",
    "CombineArtifacts",
    "KMSEncryptionKeyARN",
    "NotificationArn",
];

pub fn find(id: &ActionTypeId) -> Option<&'static Kind> {
    KINDS.iter().find(|it| {
        it.category == id.category
            && it.owner == id.owner
            && it.provider == id.provider
            && id.version == VERSION
    })
}

/// What `ListActionTypes` says of them.
pub async fn list_action_types(
    _: cloud::Cx,
    input: ListActionTypesInput,
) -> Result<ListActionTypesOutput, cloud::Error> {
    let wanted = |it: &&Kind| {
        input
            .action_owner_filter
            .is_none_or(|owner| owner == it.owner)
    };
    Ok(ListActionTypesOutput {
        action_types: KINDS.iter().filter(wanted).map(shown).collect(),
        next_token: None,
    })
}

fn shown(kind: &Kind) -> ActionType {
    let count = |(minimum, maximum): (usize, usize)| ArtifactDetails {
        minimum_count: i32::try_from(minimum).unwrap_or(i32::MAX),
        maximum_count: i32::try_from(maximum).unwrap_or(i32::MAX),
    };
    let property = |it: &Setting| ActionConfigurationProperty {
        name: it.name.into(),
        required: it.required,
        key: true,
        secret: it.secret,
        ..Default::default()
    };
    ActionType {
        id: ActionTypeId {
            category: kind.category,
            owner: kind.owner,
            provider: kind.provider.into(),
            version: VERSION.into(),
        },
        settings: None,
        action_configuration_properties: Some(kind.settings.iter().map(property).collect()),
        input_artifact_details: count(kind.inputs),
        output_artifact_details: count(kind.outputs),
    }
}
