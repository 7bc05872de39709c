"""Recipes that train and measure the models; not part of the wheel."""
