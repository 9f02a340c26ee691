"""A demo: an outbox filled by invented people, so that the whole pipeline can be tried without a product behind it.

:func:`make_demo` writes a directory with a SQLite outbox, keys and a ``lumi.toml``. What happens in it is simulated:
a handful of tenants of very different sizes, one of them a managed service provider that works in its customers'
tenants too; people with roles, working hours, time zones and usual networks; services that work at night. Among all
that lie the stories described in :mod:`lumi_pipeline.demo.stories`, for analysts to find, and the harmless cases of
:mod:`lumi_pipeline.demo.lookalikes`, for them not to be misled by. Every name is invented and every address comes from
the documentation ranges.
"""

from lumi_pipeline.demo.build import DEFAULT_SEED, make_demo
from lumi_pipeline.demo.report import DemoError, DemoReport
from lumi_pipeline.demo.stories import Story

__all__ = ["DEFAULT_SEED", "DemoError", "DemoReport", "Story", "make_demo"]
