"""Hydra launchers: every job of a sweep is one `python train.py` of its own, here (local), under SLURM or
in AzureML.
"""
