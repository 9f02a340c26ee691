"""Dagster on top of the domain: assets, checks, jobs, schedules, sensors, resources. No logic of its own."""

import warnings

# Single-run backfills have been marked as beta for years, and are the one way to do a range of days in one run.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy` of function `asset` is currently in beta")
