output "url" {
  description = "Where the web service answers."
  value       = "http://${aws_lb.this.dns_name}"
}

output "repository" {
  description = "Where images are pushed."
  value       = aws_ecr_repository.this.repository_url
}
