"""The model card of a preset, with the front matter that the Hugging Face hub reads.

It is written by hand, since a preset is saved without `huggingface_hub`, which is an extra.
"""

import inspect
import json
import re

NOT_STATED = "Not stated."


def front_matter(model, licence):
    tags = ["keras", "zf_keras", "sequence-model", type(model).__name__]
    lines = ["---", "library_name: zf_keras"]
    if licence is not None and re.fullmatch(r"[A-Za-z0-9.-]+", licence):
        lines.append(f"license: {json.dumps(licence.lower())}")  # a string in JSON is one in YAML
    elif licence is not None:
        lines += ["license: other", f"license_name: {json.dumps(licence)}"]
    return [*lines, "tags:", *(f"- {json.dumps(tag)}" for tag in tags), "---", ""]


def card(model, name, metadata, text=None):
    """The card: `text`, or what is known without its author.

    Args:
        model: the model that is saved.
        name: str. Of the preset.
        metadata: dict.
        text: str or `None`. Markdown; its front matter is left as it is where it has one.

    Returns:
        str.
    """
    head = "\n".join(front_matter(model, metadata["licence"]))
    if text is not None:
        return text if text.startswith("---\n") else f"{head}\n{text.rstrip()}\n"
    return f"{head}\n" + "\n".join(_lines(model, name, metadata)).rstrip() + "\n"


def _lines(model, name, metadata):
    results = metadata["results"]
    yield f"# {name}"
    yield ""
    if metadata["description"]:
        yield metadata["description"]
        yield ""
    yield "## Use"
    yield ""
    yield "```python"
    yield "from zf_keras import SequenceModel"
    yield ""
    yield f"model = SequenceModel.from_preset({json.dumps(name)})  # or the folder's path"
    yield "```"
    yield ""
    yield "## Model"
    yield ""
    yield from arguments(model)
    yield ""
    for title, text in (
        ("Data", NOT_STATED),
        ("Results", f"`{json.dumps(results)}`" if results else NOT_STATED),
        ("Versions", versions(metadata)),
        ("Licence", metadata["licence"] or NOT_STATED),
        ("Limits", NOT_STATED),
    ):
        yield f"## {title}"
        yield ""
        yield text
        yield ""


def arguments(model):
    """The constructor's arguments that are not as by default, and the number of parameters, as lines."""
    defaults = {
        name: parameter.default
        for cls in reversed(type(model).__mro__)
        if "__init__" in vars(cls)
        for name, parameter in inspect.signature(cls.__init__).parameters.items()
    }
    yield f"`{type(model).__name__}`, {model.count_params():,} parameters, with"
    yield ""
    for name, value in model.get_config().items():
        if name not in ("name", "trainable") and value != defaults.get(name, NOT_STATED):
            yield f"- `{name}`: {_shown(value)}"


def _shown(value):
    if not isinstance(value, dict) or "class_name" not in value:
        return f"`{json.dumps(value)}`"
    if value["class_name"] == "DTypePolicy":
        return _shown(value["config"]["name"])
    return f"`{value['class_name']}`, {', '.join(f'{name} {_shown(x)}' for name, x in value['config'].items())}"


def versions(metadata):
    """A sentence of what wrote a preset."""
    named = ", ".join(f"{name} {version}" for name, version in metadata["versions"].items())
    return f"Written on {metadata['date']} with {named}; format {metadata['format']}."
