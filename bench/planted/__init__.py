"""Twelve planted silent regressions, and honest retrains, against each kind of evidence: ``python -m bench.planted``.

``worlds`` makes tables, ``versions`` trains models and plants faults, ``trials`` shows them to the evidence.
"""
