"""The jobs of Model Monitor: baselines of data sets, and the quality and the bias of predictions by their labels.

``datasets`` reads tables and ``merge`` joins captures with ground truth; both give ``pairs``. ``measures``,
``binary`` and ``multiclass`` measure them, ``thresholds`` makes constraints of what was measured and checks them.
"""
