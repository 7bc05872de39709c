"""A .keras file that knows its run: its epochs, and the rows of metrics that go with it."""

import json
import zipfile

import keras

from zf_keras.files import whole_file
from zoo import metrics

EPOCHS, ORIGIN = "epochs", "origin.json"  # in the file


def save(path, model, run_id, rows):
    """Writes a model that was trained for as many epochs as there are rows."""
    with whole_file(path) as partial:
        model.save(partial)
        with zipfile.ZipFile(partial, "a") as file:
            file.writestr(EPOCHS, str(len(rows)))
            file.writestr(ORIGIN, json.dumps({"run": run_id, "rows": metrics.checksum(rows)}))


def epochs_of(path, run_id, rows):
    """After how many epochs a model was saved.

    Args:
        path: path.
        run_id: str or `None`. Of the run that it should be of.
        rows: list of dicts. The metrics of the run.

    Raises:
        OSError, KeyError, ValueError, zipfile.BadZipFile: it can't be read, or does not fit the run.
    """
    with zipfile.ZipFile(path) as file:
        epochs = int(file.read(EPOCHS))
        # Those of earlier versions have none.
        origin = json.loads(file.read(ORIGIN)) if ORIGIN in file.namelist() else {"run": None, "rows": None}
    if epochs < 1:
        raise ValueError(f"it is of {epochs} epochs")
    if origin["run"] != run_id:
        raise ValueError("it is of another run")
    if len(rows) < epochs:
        raise ValueError(f"metrics.csv has {len(rows)} rows, it is of {epochs} epochs")
    if origin["rows"] not in (None, metrics.checksum(rows[:epochs])):
        raise ValueError("the rows of metrics.csv are not those that it was saved with")
    return epochs


def load(path):
    try:
        return keras.saving.load_model(path)
    except Exception as error:  # Keras says of a damaged file whatever comes up
        raise ValueError(str(error)) from error
