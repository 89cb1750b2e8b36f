data "aws_caller_identity" "me" {}
data "aws_region" "here" {}

data "aws_iam_policy_document" "tasks_may_assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.me.account_id]
    }
  }
}

# What starts a task: it pulls the image, writes the log and reads what the task is told.
resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.tasks_may_assume.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

data "aws_iam_policy_document" "read_configuration" {
  statement {
    actions   = ["ssm:GetParameters"]
    resources = [aws_ssm_parameter.greeting.arn]
  }
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.password.arn]
  }
}

resource "aws_iam_role_policy" "read_configuration" {
  name   = "read-configuration"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.read_configuration.json
}

# What the program in a task may do.
resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = data.aws_iam_policy_document.tasks_may_assume.json
}

data "aws_iam_policy_document" "use_bucket" {
  statement {
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.this.arn}/*"]
  }
}

resource "aws_iam_policy" "use_bucket" {
  name   = "${var.name}-use-bucket"
  policy = data.aws_iam_policy_document.use_bucket.json
}

resource "aws_iam_role_policy_attachment" "use_bucket" {
  role       = aws_iam_role.task.name
  policy_arn = aws_iam_policy.use_bucket.arn
}
