"""SIEM delivery: every event to every destination that wants it, with a ledger of what became of it.

``plan`` encodes landed events into immutable batches, ``deliver`` sends them, the ledger knows where each stands, and
receipts say so to others. A destination is one module under ``destinations/``.
"""
