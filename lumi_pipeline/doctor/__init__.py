"""Does this environment keep its promises? Every check tries what the pipeline relies on, and nothing of it stays.

A check is a small function from an :class:`~lumi_pipeline.doctor.examination.Examination` to findings;
:mod:`lumi_pipeline.doctor.checkup` lists them and runs them.

- In the outbox everything is tried in a transaction that is rolled back.
- In the stores everything is tried under ``log-private/doctor/``, which nothing else reads, and removed. Only what was
  written under compliance retention, to see whether it can be deleted, stays until that ends, minutes later.
"""
