"""One module a kind of destination; its name is the ``kind`` in ``[[destinations]]``.

A module has ``OPTIONS``, what can be set besides what every destination has, and ``open_destination``, which makes a
:class:`~lumi_pipeline.siem.destination.Destination` of checked settings. Nothing else has to be registered.
"""
