"""Learn whether a room is occupied from its sensors, and test on the newest day."""

import time

FIRST_LINE_AT = time.time()

import config  # noqa: E402
import joblib  # noqa: E402
from features import read_day, read_days  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402

from orchestrator import Dataset, Task  # noqa: E402

STEP = 10  # trees between two reports

task = Task.init(project_name="occupancy", task_name="training", tags=["baseline"])
task.connect(config)
logger = task.get_logger()
logger.report_scalar(title="timing", series="first line", value=FIRST_LINE_AT, iteration=0)

data = Dataset.get(dataset_id=config.CLEARML_DATASET_ID).get_local_copy()
*known, newest = sorted(data.glob("*.csv"))
features, labels = read_days(known)
unseen, truth = read_day(newest)
print(f"{len(labels)} minutes of {len(known)} days to learn from, {len(truth)} minutes of {newest.stem} to test on")

forest = RandomForestClassifier(max_depth=config.MAX_DEPTH, random_state=config.SEED, warm_start=True)
accuracy = 0.0
for trees in range(STEP, config.TREES + 1, STEP):
    forest.set_params(n_estimators=trees).fit(features, labels)
    accuracy = float(forest.score(unseen, truth))
    logger.report_scalar(title="accuracy", series="train", value=float(forest.score(features, labels)), iteration=trees)
    logger.report_scalar(title="accuracy", series="test", value=accuracy, iteration=trees)
    print(f"{trees} trees: {accuracy:.4f} of the minutes right")

joblib.dump(forest, "model.joblib")
task.upload_artifact("model", "model.joblib")
task.register_model("occupancy", "model.joblib", framework="scikit-learn", metadata={"accuracy": accuracy})
task.upload_artifact("result", {"accuracy": accuracy, "days": len(known), "tested_on": newest.stem})
