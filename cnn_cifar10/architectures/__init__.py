"""Registry of networks; each builds an uncompiled Keras model."""

from cnn_cifar10.architectures.backbones import KERASHUB, list_backbones
from cnn_cifar10.architectures.networks import (
    NETWORKS,
    Network,
    check_options,
    create_model,
    find_network,
    list_models,
    usual_training,
)
from cnn_cifar10.architectures.parts import (
    adapt_whitening,
    fold_normalization,
    functional,
    head_of,
    main_model,
    stock_model,
)

__all__ = [
    "KERASHUB", "NETWORKS", "Network", "adapt_whitening", "check_options", "create_model",
    "find_network", "fold_normalization", "functional", "head_of", "list_backbones",
    "list_models", "main_model", "stock_model", "usual_training",
]  # fmt: skip
