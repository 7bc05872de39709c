"""A trial: the training that `python -m zoo train` does with the trial's settings, reported to the oracle.

Its folder is a run of the zoo. So a trial whose worker was killed goes on after its last whole epoch, one that
Hyperband takes further goes on from where it was with the schedules of a whole training, and both end as if never
stopped.
"""

import gc
import os
import shutil
import time
import traceback
from pathlib import Path

import keras
import keras_tuner

from tuning.metadata import OBJECTIVE, PROJECT, RUN
from tuning.oracles import Tuner, new_oracle
from tuning.records import different
from tuning.spaces import recipe_with
from zoo import runs, training


class Trials(Tuner):
    """Runs the trials of a search: a `keras_tuner` tuner, of which the chief has one and each worker another.

    Args:
        search: `Search`.
    """

    def __init__(self, search):
        self.search_folder = search
        settings = search.settings
        objective = keras_tuner.Objective(OBJECTIVE, "max")
        oracle = new_oracle(settings["tuner"], objective, settings["trials"], settings["seed"], search.epochs)
        oracle.verbose = 0
        directory, project = str(search.directory), PROJECT
        super().__init__(oracle, hypermodel=search.space, directory=directory, project_name=project)

    def pre_create_trial(self):
        time.sleep(0.2)  # Keras Tuner asks again at once where the oracle has nothing to do yet

    def run_trial(self, trial):
        """The best validation ELBO of the trial's epochs.

        Raises:
            FailedTrialError: the training failed; the search passes over it.
            FatalRuntimeError: no trial could do better: the data or the disk is at fault.
        """
        values = trial.hyperparameters.values
        start, error = time.perf_counter(), None
        try:
            settings = self.search_folder.space(trial.hyperparameters)
            self.search_folder.write_outcome(trial.trial_id, settings=settings, error=None)
            recipe = recipe_with(self.search_folder.recipe, settings)
        except Exception as failure:  # the space is the user's own
            self._fail(trial, f"The space: {type(failure).__name__}: {failure}")
        try:
            run = self._run(trial.trial_id, recipe, values.get("tuner/trial_id"))
            self.search_folder.check_data(run)
            run.load_data()
        except (OSError, runs.RunError) as failure:
            raise keras_tuner.errors.FatalRuntimeError(str(failure)) from failure
        print(f"Trial {trial.trial_id}: {settings}", flush=True)
        try:
            training.train(run, verbose=0, until=values.get("tuner/epochs"), samples=False)
        except runs.RunError as failure:
            error = str(failure)
        except OSError as failure:
            raise keras_tuner.errors.FatalRuntimeError(str(failure)) from failure
        except Exception:  # out of memory, or what the backend says of sizes it can't take
            error = traceback.format_exc()
        finally:
            _free_memory()
        seconds = round(time.perf_counter() - start, 1)
        self.search_folder.write_outcome(trial.trial_id, seconds=seconds)
        if error:
            self._fail(trial, error)
        best = max(run.rows(), key=lambda row: row[OBJECTIVE])
        print(f"Trial {trial.trial_id}: {OBJECTIVE} {best[OBJECTIVE]:.4f} after epoch {best['epoch']}", flush=True)
        return {OBJECTIVE: best[OBJECTIVE]}

    def _fail(self, trial, error):
        self.search_folder.write_outcome(trial.trial_id, error=error)
        print(f"Trial {trial.trial_id} failed: {error}", flush=True)
        raise keras_tuner.errors.FailedTrialError(error)

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        settings = self.search_folder.settings
        if settings["tuner"] != "hyperband" and not settings["keep_models"]:
            forget_models(self._run_folder(trial.trial_id))

    def _run_folder(self, trial_id):
        return Path(self.get_trial_dir(trial_id)) / RUN

    def _run(self, trial_id, recipe, past_id):
        """The run of a trial: as it is, a copy of the one it goes on with, or a new one."""
        folder, search = self._run_folder(trial_id), self.search_folder
        if (folder / runs.RECIPE).exists():
            return self._checked(runs.Run(folder), trial_id, recipe)
        if past_id is not None:
            partial = folder.with_name("partial-run")
            for path in (partial, folder):
                shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(self._run_folder(past_id), partial)
            os.replace(partial, folder)
            return self._checked(runs.Run(folder), past_id, recipe)
        shutil.rmtree(folder, ignore_errors=True)  # killed before it had begun
        return runs.Run.begin(folder, recipe, False, search.settings["data"])

    def _checked(self, run, trial_id, recipe):
        changed = different(run.recipe.values, recipe.values)
        if changed:
            folder = self._run_folder(trial_id)
            raise runs.RunError(f"{folder} is not the run of trial {trial_id}: it has other {', '.join(changed)}.")
        return run


def forget_models(folder):
    """Deletes the models of a run: a search keeps numbers, `zoo train` makes the model of the best."""
    for name in (runs.LAST, runs.BEST):
        (folder / name).unlink(missing_ok=True)


def _free_memory():
    keras.utils.clear_session(free_memory=True)
    if keras.config.backend() == "jax":
        import jax

        jax.clear_caches()
    gc.collect()
