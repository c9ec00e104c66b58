"""Built-in runtimes on accelerators: one module for each runtime, with its name, and what all of them share.

A runtime whose row of the catalogue says ``on_device`` has a module of its name here, with a ``LIBRARY``
(``library.DeviceLibrary``): whether the installed library can use a device, and how. The runtime's own ``load`` takes
a ``placement.Placement`` then, by which answers are compared with the processor's (``exactness``), the rows of a call
are found by measurement (``batch_rows``) and errors of the device are told from those of a request.
"""
