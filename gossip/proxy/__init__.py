"""The TCP forwarder: connections to a local port go to instances of a service that are well."""
