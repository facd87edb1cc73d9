"""List the networks and their options."""


def add_arguments(parser):
    pass


def run(args):
    import inspect

    import keras

    from cnn_cifar10.architectures import MODELS, create_model, list_models, model_options

    rows = []
    for name in list_models():
        options = model_options(name)
        builder = getattr(MODELS[name], "func", MODELS[name])
        no_download = {"weights": None} if "weights" in options else {}
        with keras.StatelessScope(initialize_variables=False):  # shapes are enough to count
            parameters = create_model(name, **no_download).count_params()
        description = inspect.getdoc(builder).splitlines()[0]
        rows.append(
            {"name": name, "parameters": parameters, "description": description, "options": options}
        )
        print(f"{name:16} {parameters:>12,} parameters  {description}")
        if options:
            print(f"{'':16} " + ", ".join(f"{key}={value!r}" for key, value in options.items()))
    return rows
