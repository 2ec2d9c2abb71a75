"""Triggers as a YAML file declares them: the records' own words, and some that are easier to write.

    group: occupancy                # the file's name where it is not given
    triggers:
      - name: retrain on dataset
        condition: {kind: dataset, project: occupancy, on_tags: [Production]}
        action:
          kind: clone
          task: occupancy/training  # an id, or PROJECT/NAME for the newest task of that name
          parameters: {General/CLEARML_DATASET_ID: "${dataset.id}"}
        gates: {min_rows: 1000}
        debounce: 10m               # instead of debounce_seconds: 600

`condition`, `action`, `gates` and what stands beside them are fields of `records.trigger.TriggerSpec`; without `kind` a
condition is on datasets and an action a clone. Lengths of time (`debounce`, `debounce_max`, `cooldown`,
`limit_execution`, `every` of a schedule, `timeout` of a webhook) may be written as `10m`, moments (`at`, `starts_at`)
without a time zone, which then is the schedule's, values of parameters as numbers and truth values, and where a list is
meant one text.
"""

from __future__ import annotations

from triggers.declaration.reading import Declaration, read_declaration, resolved

__all__ = ["Declaration", "read_declaration", "resolved"]
