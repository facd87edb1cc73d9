"""Exported models over HTTP, and a page for people."""

from cnn_cifar10.serving.app import TOKEN_VARIABLE, serve

__all__ = ["TOKEN_VARIABLE", "serve"]
