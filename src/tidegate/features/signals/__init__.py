"""Alarms on signals: numbers that a Prometheus server or another HTTP server has.

``loop`` reads each signal again and again and puts what it finds into the metric of the signal, which the alarms of
the core watch like any other. ``answers`` takes the number from an answer, ``reader`` asks for it. What gives no
number gives no datapoint: it is kept in a report of the endpoint, and journaled once.
"""
