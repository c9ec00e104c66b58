"""The four challenges on a throw-away endpoint of this server: what each does step by step, and how it is judged.

Each challenge is a table of stages and a few pure functions of what was last seen; ``driver`` looks, asks them, and
does what they say.
"""
