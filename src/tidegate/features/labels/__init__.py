"""How good predictions were, once their labels are known: captures joined with ground truth.

``label_lines`` reads both kinds of lines, ``ledger`` joins them on disk, ``measures`` computes from the pairs, and
``sources`` finds the lines.
"""
