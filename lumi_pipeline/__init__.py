"""The domain: from audit events in an outbox to sealed days, a published log, and proofs anyone can check."""
