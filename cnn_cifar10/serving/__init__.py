"""Exported models over HTTP, and a web page."""

from cnn_cifar10.serving.server import TOKEN_VARIABLE, serve

__all__ = ["TOKEN_VARIABLE", "serve"]
