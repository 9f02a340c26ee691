"""Pruning: rows older than the retention policy leave lake and outbox, and everything that was proved stays proved."""
