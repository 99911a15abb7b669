"""Many runs, one answer: grids of scenarios, settings and seeds, and two settings compared seed by seed."""

from __future__ import annotations
