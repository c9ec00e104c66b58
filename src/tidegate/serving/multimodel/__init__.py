"""Many models in one worker: a request names its model, which is loaded when it is first asked for.

``engine.Models`` answers calls. What it decides is in pure files: ``targets`` (names), ``policy`` (what to let go),
``turnover`` (new versions), ``knobs``. What touches the world: ``source`` (artifacts), ``store`` (what is kept on
disk), ``preparing`` (children that read what nobody has read before), ``memory`` (measuring), ``crashes``.
"""
