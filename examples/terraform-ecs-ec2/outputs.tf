output "url" {
  description = "Where the web service answers."
  value       = "http://${aws_lb.this.dns_name}"
}

output "instance" {
  description = "The first of the cluster's instances."
  value       = aws_instance.this[0].id
}
