"""`python -m zoo report`: what runs learned, in one HTML file that needs nothing else."""

from zoo.report.page import write_report
