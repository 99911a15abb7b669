"""The protocol, as a value: no clock, no socket, no thread, no global randomness."""
