variable "name" {
  description = "What everything is called."
  type        = string
  default     = "ferry"
}

variable "image" {
  description = "What both services run: it listens at port 8080."
  type        = string
}

variable "web_count" {
  description = "How many tasks of the web service there are at least."
  type        = number
  default     = 2
}

variable "greeting" {
  description = "What the services find in their environment."
  type        = string
  default     = "hello"
}
