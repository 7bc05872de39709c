"""What was measured of a run, to read: lines for a terminal, and rows for cards and reports."""


def scored(results):
    """Which sequences were scored."""
    count = f"{results['sequences']:,}"
    of_all = results.get("of_sequences", results["sequences"])
    if of_all != results["sequences"]:
        count += f" of {of_all:,}"
    return f"{count} {results['split']} sequences ({results['frames']:,} predicted frames)"


def table(run, results):
    """The results as lines of text, the published number beside them where there is one."""
    published = run.recipe.values.get("published")
    yield f"{run.name}: {scored(results)}"
    for bound, measured in results["bounds"].items():
        for unit, value in measured.items():
            error = results["standard_errors"].get(bound, {}).get(unit)
            error = "" if error is None else f" (standard error {error:.3g})"
            yield f"  {bound:<8} {value:>12.4f} {unit}{error}"
    if published:
        yield f"  published {published['value']:>11g} {published['metric']}, {published['bound']}"
        yield f"            by {published['source']}"
        if run.small:
            yield "            with which the small form is not to be compared"


def rows(run, results):
    """The results as rows of text, the first of them the head: a row a bound, a column a unit."""
    units = list(next(iter(results["bounds"].values())))
    yield ["bound", *units]
    for bound, measured in results["bounds"].items():
        yield [bound, *(f"{measured[unit]:.4f}" for unit in units)]
        errors = results["standard_errors"].get(bound, {})
        if any(errors.values()):
            yield ["its standard error", *("" if errors.get(u) is None else f"{errors[u]:.3g}" for u in units)]
    published = run.recipe.values.get("published")
    if published:
        numbers = (f"{published['value']:g}" if unit == published["metric"] else "" for unit in units)
        yield [f"published ({published['bound']})", *numbers]
