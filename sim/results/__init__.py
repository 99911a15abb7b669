"""Results: what is recorded of a run, its numbers, and how they are kept."""

from __future__ import annotations
