"""Which instance to call: by weight, load, health, distance and zone. Pure: chance and time are given."""
