"""Models for the Hugging Face Hub: a folder as Keras reads it there, and its upload."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_cifar10.exporting.formats import FORMATS
from cnn_cifar10.inference import DESCRIPTION, ArtifactError
from cnn_cifar10.utils import (
    CHECKSUMS,
    HUB,
    InputError,
    digest,
    first_line,
    read_checked,
    read_checksums,
    remove_listed,
    require_package,
    split_hub_name,
    write_checksums,
)

if TYPE_CHECKING:
    from cnn_cifar10.training import Run

_CARD, _HEADING = "README.md", "## Use\n\n"
_MARK = "metadata.json"  # which Keras writes there, and no run has
_MESSAGE = "Model of cnn-cifar10"
_USE = """\
    cnn-cifar10 predict --model hf://OWNER/NAME photo.jpg
    cnn-cifar10 train --data-dir photos --start hf://OWNER/NAME@COMMIT

Keras opens it on every backend, without further packages:

```python
import keras

model = keras.saving.load_model("hf://OWNER/NAME")
```

`artifact.json` has the names of the classes, and how an image becomes the model's input.

"""
_LARGEST_DIFFERENCE = 1e-5  # of a probability


def check_hub_folder(folder: Path) -> None:
    """Raise an `InputError` unless a folder is new, empty, or one that was written for the Hub."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not all((folder / name).is_file() for name in (_MARK, CHECKSUMS)):
        raise InputError(f"{folder}: holds something else; name a new or empty folder")
    card = folder / _CARD
    if card.is_file() and digest(card.read_bytes()) != read_checksums(folder).get(_CARD):
        raise InputError(f"{card}: was edited, and would be lost; move it, or name a new folder")


def write_hub_folder(run: "Run", folder: Path) -> None:
    """Write an exported run as the Hub is to have it, in place of an earlier one.

    The folder holds what `keras.saving.load_model("hf://owner/name")` reads, so that no package
    but Keras is needed; the exported formats; and `run.json`, to train further from it. The
    model is loaded from there and compared.

    Args:
        run: A run that was exported.
        folder: As `check_hub_folder` wants it.

    Raises:
        InputError: If the folder is in use, or the model has layers of one's own code.
        ArtifactError: If what plain Keras loads answers otherwise.
    """
    import keras

    from cnn_cifar10.architectures import stock_model

    check_hub_folder(folder)
    model = stock_model(run.load_model())
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part") as part:
        made = Path(part) / "made"
        keras.saving.save_model(model, made, zipped=False)
        shutil.rmtree(made / "assets", ignore_errors=True)  # which it has none of
        _compare(run, model, made)
        exported = [DESCRIPTION, *(each.file for each in FORMATS.values())]
        for name in (run.facts_path.name, run.history_path.name, *exported):
            if (run.path / name).is_dir():
                shutil.copytree(run.path / name, made / name)
            elif (run.path / name).exists():
                shutil.copyfile(run.path / name, made / name)
        card = (run.path / _CARD).read_text(encoding="utf-8")
        card = card.replace(_HEADING, _HEADING + _USE, 1)
        (made / _CARD).write_text(card, encoding="utf-8", newline="\n")
        write_checksums(made, sorted(made.iterdir()))
        folder.mkdir(exist_ok=True)
        remove_listed(folder)
        for each in made.iterdir():
            each.rename(folder / each.name)


def _compare(run, model, folder):
    """Load a folder as plain Keras does, and compare its answers."""
    import keras

    config = (folder / "config.json").read_text(encoding="utf-8")
    if own := re.search(r'"registered_name": "([^"]*>[^"]*)"', config):
        raise InputError(
            f"{run.path}: its {own[1]} is code of your own, without which Keras cannot open it"
        )
    shape = (4, *run.facts()["input_shape"])
    images = np.random.default_rng(0).uniform(0, 255, shape).astype("float32")
    answers = [each.predict_on_batch(images) for each in (model, keras.saving.load_model(folder))]
    if (difference := np.abs(answers[0] - answers[1]).max()) > _LARGEST_DIFFERENCE:
        raise ArtifactError(f"{run.path}: written for the Hub, it differs by {difference:.2g}")


def push_folder(folder: Path, name: str, private: bool = False) -> dict[str, Any]:
    """Upload a folder that `write_hub_folder` wrote, if a token is there.

    Args:
        folder: The folder.
        name: `hf://owner/name`. The repository is made where it is missing.
        private: Whether a new one is only for its owners.

    Returns:
        `{"name", "files", "commit"}`: bytes by file, and the commit, `None` without a token.

    Raises:
        InputError: If the folder is none such or was changed, or the Hub refuses it.
    """
    if not name.startswith(HUB):
        raise InputError(f"{name}: no name of the Hub: write {HUB}owner/name")
    repository, revision = split_hub_name(name)
    if revision:
        raise InputError(f"{name}: an upload makes a new revision; leave out @{revision}")
    require_package("huggingface_hub", "push needs", "'cnn-cifar10[hub]'")
    import huggingface_hub

    if not (folder / _MARK).is_file():
        raise InputError(f"{folder}: not for the Hub; make it with `cnn-cifar10 export RUN --hub`")
    files = read_checksums(folder)
    sizes = {each: len(read_checked(folder, each)) for each in files if each != _CARD}
    card = (folder / _CARD).read_bytes()
    sizes[_CARD] = len(card)
    sizes[CHECKSUMS] = (folder / CHECKSUMS).stat().st_size
    document = {"name": name, "files": sizes, "commit": None}
    if not huggingface_hub.get_token():
        return document
    if digest(card) != files.get(_CARD):  # people edit it
        write_checksums(folder, [folder / each for each in files])
    api = huggingface_hub.HfApi(library_name="cnn-cifar10")
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if private and not api.model_info(repository).private:
            raise InputError(f"{name}: is there, and public; name a new one, or hide it first")
        done = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=[*sizes],
            delete_patterns=_old_files(sizes),
            commit_message=_MESSAGE,
        )
    except InputError:
        raise
    except Exception as error:  # of the library, of HTTP, of the system
        raise InputError(
            f"{name}: cannot be uploaded: {first_line(error)}; check the name, and that the token "
            "may write"
        ) from error
    return {**document, "commit": done.oid}


def _old_files(names):
    """Return patterns of the exports that a repository may hold and these files are not of."""
    files = [each.file for each in FORMATS.values()]
    return [
        pattern
        for file in files
        if not any(name == file or name.startswith(f"{file}/") for name in names)
        for pattern in (file, f"{file}/*")
    ]
