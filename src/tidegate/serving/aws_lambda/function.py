"""The entry point of a function: ``tidegate.serving.aws_lambda.function.handle``. Loads the model when it is
imported, in the function's init phase."""

import os

from tidegate.serving.aws_lambda.start import start

handle = start(os.environ)
