"""Consul's HTTP API, answered from what this agent holds."""
