"""What the training can be told. Clones override these values."""

CLEARML_DATASET_ID = ""
TREES = 40
MAX_DEPTH = 6
SEED = 7
