# A network load balancer that polls the page of every member, in front of an IRIS mirror, with the rights that
# mirrorvip has and two alarms. `mirrorvip check` finds nothing wrong with these settings; the reason for each is in
# docs/load-balancers.md.
#
#   terraform apply -var vpc_id=vpc-... -var 'subnet_ids=["subnet-...", "subnet-..."]' \
#       -var 'clients=["10.0.0.0/8"]' -var member_security_group_id=sg-...
#
# Give the members the instance profile, and the table from the output `configuration` to each one's mirrorvip.toml:
# every member then registers itself, and none is ever deregistered.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40"
    }
  }
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  description = "One in each zone that has clients or members."
  type        = list(string)
}

variable "clients" {
  description = "Networks from which clients come."
  type        = list(string)
}

variable "member_security_group_id" {
  description = "The security group of the members."
  type        = string
}

variable "alarm_topics" {
  description = "ARNs of the topics that alarms go to."
  type        = list(string)
  default     = []
}

# === The way of the clients ===

resource "aws_security_group" "lb" {
  name_prefix = "iris-lb-"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each          = toset(var.clients)
  security_group_id = aws_security_group.lb.id
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 1972
  to_port           = 1972
}

# From the load balancer to the members: clients' connections, and the health checks.
resource "aws_vpc_security_group_egress_rule" "members" {
  for_each                     = toset(["1972", "8080"])
  security_group_id            = aws_security_group.lb.id
  referenced_security_group_id = var.member_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.value)
  to_port                      = tonumber(each.value)
}

resource "aws_vpc_security_group_ingress_rule" "members" {
  for_each                     = toset(["1972", "8080"])
  security_group_id            = var.member_security_group_id
  referenced_security_group_id = aws_security_group.lb.id
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.value)
  to_port                      = tonumber(each.value)
}

resource "aws_lb" "iris" {
  name                             = "iris"
  load_balancer_type               = "network"
  internal                         = true
  subnets                          = var.subnet_ids
  security_groups                  = [aws_security_group.lb.id]
  enable_cross_zone_load_balancing = true # with one primary, every zone but one has no target
}

resource "aws_lb_target_group" "iris" {
  name                   = "iris"
  vpc_id                 = var.vpc_id
  target_type            = "instance"
  protocol               = "TCP"
  port                   = 1972
  deregistration_delay   = 10
  connection_termination = true

  health_check {
    protocol            = "HTTP"
    port                = 8080
    path                = "/csp/bin/mirror_status.cxw"
    matcher             = "200"
    interval            = 5
    timeout             = 2
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  target_health_state {
    enable_unhealthy_connection_termination = true # sessions with the old primary are cut
  }
}

resource "aws_lb_listener" "iris" {
  load_balancer_arn = aws_lb.iris.arn
  protocol          = "TCP"
  port              = 1972

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.iris.arn
  }
}

# === The rights of the members ===

resource "aws_iam_role" "member" {
  name_prefix = "iris-member-"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_instance_profile" "member" {
  name_prefix = "iris-member-"
  role        = aws_iam_role.member.name
}

# What `mirrorvip iam-policy` prints for the configuration below.
resource "aws_iam_role_policy" "mirrorvip" {
  name   = "mirrorvip"
  role   = aws_iam_role.member.id
  policy = data.aws_iam_policy_document.mirrorvip.json
}

data "aws_iam_policy_document" "mirrorvip" {
  statement {
    sid = "ReadTargetGroups"
    actions = [
      "elasticloadbalancing:DescribeTargetGroups",
      "elasticloadbalancing:DescribeTargetGroupAttributes",
      "elasticloadbalancing:DescribeTargetHealth",
      "elasticloadbalancing:DescribeLoadBalancers",
      "elasticloadbalancing:DescribeLoadBalancerAttributes",
    ]
    resources = ["*"] # descriptions know no resources
  }

  statement {
    sid       = "RegisterTargets"
    actions   = ["elasticloadbalancing:RegisterTargets"]
    resources = [aws_lb_target_group.iris.arn]
  }
}

# === Who must be woken ===

# In a failover there is none for some seconds; for a minute there must not be.
resource "aws_cloudwatch_metric_alarm" "no_primary" {
  alarm_name          = "iris-no-primary"
  alarm_description   = "No member of the mirror answers its page with SUCCESS."
  namespace           = "AWS/NetworkELB"
  metric_name         = "HealthyHostCount"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topics
  ok_actions          = var.alarm_topics

  dimensions = {
    LoadBalancer = aws_lb.iris.arn_suffix
    TargetGroup  = aws_lb_target_group.iris.arn_suffix
  }
}

# Two for longer than a failover: one of them is isolated. See "Limits" in docs/design.md.
resource "aws_cloudwatch_metric_alarm" "two_primaries" {
  alarm_name          = "iris-two-primaries"
  alarm_description   = "More than one member of the mirror answers its page with SUCCESS."
  namespace           = "AWS/NetworkELB"
  metric_name         = "HealthyHostCount"
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topics
  ok_actions          = var.alarm_topics

  dimensions = {
    LoadBalancer = aws_lb.iris.arn_suffix
    TargetGroup  = aws_lb_target_group.iris.arn_suffix
  }
}

# === The members' configuration ===

output "instance_profile" {
  value = aws_iam_instance_profile.member.name
}

output "address" {
  description = "What clients connect to."
  value       = aws_lb.iris.dns_name
}

output "configuration" {
  description = "The table for each member's mirrorvip.toml."
  value       = <<-TOML
    [[mirror.elbv2]]
    target_group_arn = "${aws_lb_target_group.iris.arn}"
    port = 1972
  TOML
}
