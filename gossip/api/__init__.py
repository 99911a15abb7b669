"""What local programs talk to: the agent's unix socket."""
