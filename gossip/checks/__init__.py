"""Health checks of this node's services: run by their owner alone; only what changes is told to others."""
