data "aws_region" "here" {}

resource "aws_ecs_cluster" "this" {
  name = var.name
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${var.name}"
  retention_in_days = 14
}

locals {
  # The mode that definitions for instances have when they say nothing, and the one with an interface of their own.
  services = {
    web = { mode = "bridge", count = var.web_count }
    api = { mode = "awsvpc", count = 1 }
  }
}

resource "aws_ecs_task_definition" "service" {
  for_each                 = local.services
  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["EC2"]
  network_mode             = each.value.mode

  container_definitions = jsonencode([{
    name         = each.key
    image        = var.image
    cpu          = 64
    memory       = 128
    essential    = true
    portMappings = [{ containerPort = 8080 }]
    mountPoints  = [{ sourceVolume = "state", containerPath = "/state" }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = data.aws_region.here.name
        awslogs-stream-prefix = each.key
      }
    }
  }])

  volume {
    name      = "state"
    host_path = "/var/lib/${var.name}"
  }
}

resource "aws_ecs_service" "service" {
  for_each              = local.services
  name                  = each.key
  cluster               = aws_ecs_cluster.this.id
  task_definition       = aws_ecs_task_definition.service[each.key].arn
  desired_count         = each.value.count
  launch_type           = "EC2"
  wait_for_steady_state = var.enable_nat_gateway

  ordered_placement_strategy {
    type  = "spread"
    field = "instanceId"
  }

  dynamic "network_configuration" {
    for_each = each.value.mode == "awsvpc" ? [1] : []
    content {
      subnets         = aws_subnet.private[*].id
      security_groups = [aws_security_group.instance.id]
    }
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.service[each.key].arn
    container_name   = each.key
    container_port   = 8080
  }

  depends_on = [aws_lb_listener.http, aws_lb_listener_rule.api, aws_instance.this]
}
