terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.0"
    }
  }
}

# Where AWS is and who asks come from the environment: eval "$(neargate env)"
provider "aws" {
  default_tags {
    tags = { Project = var.name }
  }
}
