"""``python -m lumi_pipeline`` is the ``lumi`` command."""

from lumi_pipeline.cli import main

if __name__ == "__main__":
    main()
