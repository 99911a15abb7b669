"""Hunting: random plans of trouble, run under invariants; what fails is made short, and told in words."""
