variable "name" {
  description = "What everything is called."
  type        = string
  default     = "harbour"
}

variable "image" {
  description = "What the services run: it listens at port 8080."
  type        = string
}

variable "instance_count" {
  description = "How many instances the cluster has."
  type        = number
  default     = 2
}

variable "instance_type" {
  description = "What they are: t3.small, t3.medium."
  type        = string
  default     = "t3.small"
}

variable "web_count" {
  description = "How many tasks of the web service there are."
  type        = number
  default     = 2
}

variable "public_key" {
  description = "Who may log in, in OpenSSH's form."
  type        = string
  default     = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFjuqlBeu6CUv/Wk0lR+rwdx2XKRQOKHbNFZJxOuOVIN"
}

variable "enable_nat_gateway" {
  description = "Without it the instances do not reach ECS, and none joins the cluster: their agents' logs say so."
  type        = bool
  default     = true
}
