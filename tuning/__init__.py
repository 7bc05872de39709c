"""Searches for the settings of a recipe that give the best validation ELBO (python -m tuning ...)."""
