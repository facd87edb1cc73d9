"""Image classification with Keras, from the first convolution to a served model."""

__version__ = "0.1.0"
