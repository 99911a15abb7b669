"""What can be said without a protocol: closed forms, and epidemics in lock step on arrays."""
