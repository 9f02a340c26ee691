"""The tamper drill: attack copies of a sealed day in every way we know, and see what the product's own checks say.

``scratch`` copies a day to a place of its own, ``attacks`` lists what is done to it (each attack a small function in
``rows``, ``seals``, ``logs``, ``outboxes``, ``proofparts`` or ``bundles``), ``checks`` is what looks, ``running`` puts
the three together.
"""
