"""The files environment.json and results.json of a run, read with a check of what others rely on."""

from zoo.files import read_json

ENVIRONMENT_TYPES = {
    "recipe": str,
    "data": (str, type(None)),
    "data_checksum": (str, type(None)),
    "settings": dict,
    "backend": str,
    "versions": dict,
    "cpu_cores": (int, type(None)),
    "devices": list,
    "date": str,
}
RESULTS_TYPES = {
    "split": str,
    "sequences": int,
    "frames": int,
    "epoch": int,
    "bounds": dict,
    "standard_error": (int, float, type(None)),
    "terms": dict,
    "parameters": int,
    "statistics": (dict, type(None)),
    "seed": int,
}


def read_environment(path):
    """What environment.json says.

    Raises:
        OSError, ValueError: it is not there, or was damaged.
    """
    environment = read_json(path, ENVIRONMENT_TYPES)
    for table, values in environment["settings"].items():
        if table != "title" and not isinstance(values, dict):
            raise ValueError(f"'settings.{table}' must be an object. Received: {values!r}")
    if "small" not in environment:  # runs of earlier versions say it in the recipe's name
        environment["small"] = environment["recipe"].endswith(" (small)")
        environment["recipe"] = environment["recipe"].removesuffix(" (small)")
    return environment


def read_results(path, epochs):
    """What results.json says of a run of so many epochs.

    Raises:
        OSError, ValueError: it was damaged.
    """
    results = read_json(path, RESULTS_TYPES)
    results.setdefault("standard_errors", {})  # runs of earlier versions have none
    for key, types in (("bounds", int | float), ("standard_errors", int | float | None)):
        if not isinstance(results[key], dict):
            raise ValueError(f"{key!r} must be an object. Received: {results[key]!r}")
        for bound, units in results[key].items():
            if not isinstance(units, dict) or not all(isinstance(value, types) for value in units.values()):
                raise ValueError(f"the bound {bound!r} must hold numbers in {key!r}. Received: {units!r}")
    if not results["bounds"]:
        raise ValueError("it has no bound")
    if not 1 <= results["epoch"] <= epochs:
        raise ValueError(f"'epoch' must be one of the {epochs} trained. Received: {results['epoch']}")
    return results
