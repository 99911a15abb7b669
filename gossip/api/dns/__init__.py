"""The DNS face: services and members by the names that resolvers ask for. Loaded when `dns` is set."""
