"""Pretrained backbones for transfer learning: names, scaling of pixels, smallest images."""

LITE0 = "efficientnet_lite0"
KERASHUB = "kerashub:"
"""Stands before the name or the folder of a preset of KerasHub."""

APPLICATIONS = {  # how weights want their pixels: {our name: class in keras.applications}
    "caffe": {
        "vgg16": "VGG16",
        "vgg19": "VGG19",
        "resnet50": "ResNet50",
        "resnet101": "ResNet101",
        "resnet152": "ResNet152",
    },
    "tf": {
        "resnet50_v2": "ResNet50V2",
        "resnet101_v2": "ResNet101V2",
        "resnet152_v2": "ResNet152V2",
        "inception_v3": "InceptionV3",
        "inception_resnet_v2": "InceptionResNetV2",
        "xception": "Xception",
        "mobilenet": "MobileNet",
        "mobilenet_v2": "MobileNetV2",
    },
    "torch": {
        "densenet121": "DenseNet121",
        "densenet169": "DenseNet169",
        "densenet201": "DenseNet201",
    },
    "raw": {
        "mobilenet_v3_small": "MobileNetV3Small",
        "mobilenet_v3_large": "MobileNetV3Large",
        **{f"efficientnet_b{i}": f"EfficientNetB{i}" for i in range(8)},
        **{f"efficientnet_v2_b{i}": f"EfficientNetV2B{i}" for i in range(4)},
        **{f"efficientnet_v2_{i}": f"EfficientNetV2{i.upper()}" for i in "sml"},
        "convnext_tiny": "ConvNeXtTiny",
        "convnext_small": "ConvNeXtSmall",
        "convnext_base": "ConvNeXtBase",
        "convnext_large": "ConvNeXtLarge",
        "convnext_xlarge": "ConvNeXtXLarge",
    },
}
SMALLEST = {"xception": 71, "inception_v3": 75, "inception_resnet_v2": 75}


def list_backbones() -> list[str]:
    """Return the names that `build_transfer` takes as `backbone`, beside presets of KerasHub."""
    return [LITE0, *(name for group in APPLICATIONS.values() for name in group)]
