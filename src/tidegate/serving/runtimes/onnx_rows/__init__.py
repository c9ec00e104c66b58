"""Proof from an ONNX file that each row of a model's output depends on the same row of its inputs alone.

``analysis.prove`` follows the batch axis from the inputs to the output, operator by operator. Each operator has a
rule (``operators``); one without a rule, or one that combines values along the batch axis, ends the proof. Nothing
here evaluates the model. ``graph`` reads the file without copying weights, and without the ``onnx`` package, whose
import takes longer than the proof.
"""
