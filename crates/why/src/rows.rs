//! Rows that are told apart by what somebody says: a resource's event, or what refuses a template.

/// A row of the catalogue that a message leads to.
#[derive(Debug)]
pub struct Row {
    pub id: &'static str,
    pub name: &'static str,
    /// Any of these in a message makes it this row's.
    says: &'static [&'static str],
    pub mend: &'static str,
}

/// What AWS has and neargate lacks. It stands before the others: what it is about is not decided.
pub const NOT_BUILT: Row = Row {
    id: "U1",
    name: "not-in-neargate",
    says: &["not supported by neargate"],
    mend: "leave it out for neargate (a condition or a parameter may), or deploy this part on AWS: `neargate coverage` lists what is there",
};

/// What a failed resource is when no other row knows it.
pub const RESOURCE_FAILED: Row = Row {
    id: "C15",
    name: "resource-failed",
    says: &[],
    mend: "mend what the reason says, and deploy again",
};

/// What a nested stack is whose template is nowhere.
pub const NESTED_MISSING: Row = Row {
    id: "C10",
    name: "nested-template",
    says: &["S3 error:"],
    mend: "correct `TemplateURL`: a path is taken from where the template around it lies, and `aws cloudformation package` puts what is there into a bucket",
};

/// What a template that is refused is when no other row knows it.
pub const INVALID: Row = Row {
    id: "C13",
    name: "validation",
    says: &[],
    mend: "correct what the message says: CloudFormation refuses the template as it is",
};

/// What stands in a Dockerfile and not beside it.
pub const COPY_MISSING: Row = Row {
    id: "B11",
    name: "copy-missing",
    says: &[],
    mend: "correct the path: it is taken from the build's context, and `.dockerignore` may leave it out",
};

/// A Dockerfile that cannot be built as it is.
pub const DOCKERFILE: Row = Row {
    id: "B12",
    name: "dockerfile-invalid",
    says: &[],
    mend: "correct the instruction that the message names",
};

pub const BUILDSPEC: Row = Row {
    id: "B3",
    name: "buildspec-missing",
    says: &[],
    mend: "correct the build specification: version, phases, and under each phase `commands`",
};

pub const COMMAND: Row = Row {
    id: "B4",
    name: "command-failed",
    says: &[],
    mend: "put the script into the source with its executable bit (`git update-index --chmod=+x`), or run it by `sh`",
};

pub const UNPRIVILEGED: Row = Row {
    id: "B5",
    name: "docker-unprivileged",
    says: &[],
    mend: "set `PrivilegedMode: true` in the project's environment",
};

pub const LOGIN: Row = Row {
    id: "B6",
    name: "ecr-login",
    says: &[],
    mend: "log in before: `aws ecr get-login-password | docker login --username AWS --password-stdin REGISTRY`",
};

pub const IMAGE_DEFINITIONS: Row = Row {
    id: "B7",
    name: "image-definitions",
    says: &[],
    mend: "name the file under `artifacts: files`",
};

pub const ENV_FILE: Row = Row {
    id: "S17",
    name: "env-file",
    says: &[],
    mend: "make the file, or take it out of `env_file`",
};

/// Rows of files that are no templates.
pub const OF_FILES: &[Row] = &[
    COPY_MISSING,
    DOCKERFILE,
    BUILDSPEC,
    COMMAND,
    UNPRIVILEGED,
    LOGIN,
    IMAGE_DEFINITIONS,
    ENV_FILE,
];

/// No load balancer takes what a client asks for.
pub const NO_LISTENER: Row = Row {
    id: "N19",
    name: "client-cannot-reach-lb",
    says: &[],
    mend: "make a listener on that port, or ask one that is there",
};

/// Nobody is there to be forwarded to.
pub const NO_TARGETS: Row = Row {
    id: "L13",
    name: "503-no-healthy",
    says: &[],
    mend: "let the service register at the group (`loadBalancers`), and see that its tasks start",
};

/// Another rule than the application's takes a request.
pub const WRONG_RULE: Row = Row {
    id: "L16",
    name: "wrong-rule",
    says: &[],
    mend: "let a rule for this host and path forward to the application's target group, with a lower number than the one that takes it",
};

/// Rows of what clients ask for.
pub const OF_REQUESTS: &[Row] = &[NO_LISTENER, NO_TARGETS, WRONG_RULE];

/// In the order in which they are asked.
pub const ROWS: &[Row] = &[
    NOT_BUILT,
    Row {
        id: "C2",
        name: "exists",
        says: &["already exists"],
        mend: "give it another name, leave the name to CloudFormation, or import what is there",
    },
    Row {
        id: "C3",
        name: "circular",
        says: &["Circular dependency between resources"],
        mend: "take one reference out of the circle: rules of security groups that name each other are resources of their own (AWS::EC2::SecurityGroupIngress)",
    },
    Row {
        id: "C4",
        name: "unresolved",
        says: &[
            "Unresolved resource dependencies",
            "references undefined resource",
            "Unresolved dependencies",
        ],
        mend: "correct the name: Ref, Fn::GetAtt and DependsOn name resources and parameters of this template",
    },
    Row {
        id: "C5",
        name: "export",
        says: &["is in use by", "No export named"],
        mend: "deploy the stack that exports it first, and delete those that import it before it",
    },
    Row {
        id: "C8",
        name: "delete-failed",
        says: &[
            "DependencyViolation",
            "not empty",
            "still contains images",
            "has dependent object",
        ],
        mend: "remove what holds it first; `neargate leftovers` lists what is there",
    },
    Row {
        id: "C14",
        name: "permission",
        says: &["is not authorized to perform"],
        mend: "allow the action to who deploys, or to the stack's role",
    },
    Row {
        id: "C7",
        name: "signal",
        says: &["Failed to receive"],
        mend: "look at the log of what should have sent the signal",
    },
    Row {
        id: "C6",
        name: "not-stabilized",
        says: &[
            "Exceeded attempts to wait",
            "did not stabilize",
            "Circuit Breaker",
        ],
        mend: "mend what keeps the resource from being ready, and deploy again",
    },
    Row {
        id: "I4",
        name: "no-execution-role",
        says: &["Fargate requires task definition to have execution role ARN"],
        mend: "set `executionRoleArn` to a role with AmazonECSTaskExecutionRolePolicy that ecs-tasks.amazonaws.com may assume",
    },
    Row {
        id: "S24",
        name: "task-size",
        says: &[
            "No Fargate configuration exists for given values",
            "Invalid 'cpu' setting for task",
            "Invalid 'memory' setting for task",
        ],
        mend: "choose a pair that Fargate has: 256 with 512 to 2048 MiB, 512 with 1024 to 4096, 1024 with 2048 to 8192, 2048 with 4096 to 16384, 4096 with 8192 to 30720",
    },
    Row {
        id: "S25",
        name: "container-exceeds-task",
        says: &[
            "of the containers exceeds the",
            "Invalid 'cpu' setting for container",
            "Invalid 'memory' setting for container",
        ],
        mend: "give the task more, or its containers less: theirs together are at most the task's",
    },
    NESTED_MISSING,
    RESOURCE_FAILED,
    INVALID,
];

/// The row of a message; `other` when none knows it.
pub fn of_message(message: &str, other: &'static Row) -> &'static Row {
    let says = |it: &&Row| it.says.iter().any(|words| message.contains(words));
    ROWS.iter().find(says).unwrap_or(other)
}
