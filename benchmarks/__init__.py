"""Benchmarks: every row is a ratio, taken in one run, against something a user could have used instead.

``python -m benchmarks`` prints a table and writes JSON that also says what machine it was. Absolute times say more
about the machine and its neighbours than about the code; the ratios are what is meant to be compared and followed. Both
sides of a ratio work on the same data, take turns, and have to give the same, or there is no figure.
"""
