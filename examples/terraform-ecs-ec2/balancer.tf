resource "aws_lb" "this" {
  name               = var.name
  load_balancer_type = "application"
  security_groups    = [aws_security_group.balancer.id]
  subnets            = aws_subnet.public[*].id
}

# Targets are instances with ports of theirs, or addresses of interfaces.
resource "aws_lb_target_group" "service" {
  for_each             = local.services
  name                 = "${var.name}-${each.key}"
  vpc_id               = aws_vpc.this.id
  target_type          = each.value.mode == "awsvpc" ? "ip" : "instance"
  protocol             = "HTTP"
  port                 = 8080
  deregistration_delay = 5

  health_check {
    path                = "/"
    interval            = 5
    timeout             = 2
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.service["web"].arn
  }
}

resource "aws_lb_listener_rule" "api" {
  listener_arn = aws_lb_listener.http.arn
  priority     = 10

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.service["api"].arn
  }

  condition {
    host_header {
      values = ["api.*"]
    }
  }
}
