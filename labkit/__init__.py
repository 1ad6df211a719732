"""labkit: the package of the image segmentation course. Its modules are the core chapters'.

Importing this package loads nothing heavy; import the module that you need::

    from labkit import data, metrics, plots, training
    from labkit.models.unet import unet_model
"""

import logging
import os

# TensorFlow writes a dozen log lines about the processor when it starts; a notebook would show
# them above the reader's first result. Its errors still reach Python as exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# It warns of functions that are traced often; a notebook that compares models makes many of them.
logging.getLogger("tensorflow").addFilter(lambda record: "retracing" not in record.getMessage())

__version__ = "0.1.0"
