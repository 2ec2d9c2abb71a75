"""retrain: what a training script imports."""
