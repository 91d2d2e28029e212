"""What keys of the study file mean that neither the code nor a flag of the name explains well."""

from __future__ import annotations

MEANINGS = {
    "data.path": "CSV, TSV, JSONL or Parquet file, or `sample:NAME`",
    "task.instruction": "what a model is told to do with a text",
    "task.names": "readable names of the labels, by label",
    "task.descriptions": "what belongs under a label, by label",
    "task.out_of_scope": "the label of rows that none of the others fits",
    "goal.metric": (
        "what “right” means: every row the same, every label the same, or what errors cost"
    ),
    "goal.error_costs": "by label, then by the answer given instead; an error not named costs 1",
    "grid.noise": "rates of added label noise, such as `[0.0, 0.1, 0.2]`",
    "grid.sizes": "shares of the pool (up to 1) or numbers of rows",
    "grid.noise_kinds": "which wrong labels are added: `symmetric`, and to cheap candidates also "
    "confused pairs at the highest rate",
    "grid.scenarios": "what else is asked: all that the data allow, `[]` for none",
    "grid.views": "other ways to write the questions",
    "grid.wordings": "whether variants such as other prompt wordings are measured too",
    "grid.budget_seconds": "time to spend; as a flag, `--budget 10m`",
    "candidates.strategy": "the name of an installed [strategy](strategies.md)",
    "candidates.name": "what the report calls it",
    "candidates.params": "its hyperparameters",
    "models.retirement": "the first day without a model, by candidate or model spec",
    "constraints.data_may_leave": "whether rows may go to other machines",
    "grid.repeats": "how often an endpoint is asked the same",
    "grid.max_usd": "most dollars that one command may spend at endpoints",
    "candidates.model": "its own model that is prompted",
    "candidates.tune": "its own model that is fine-tuned",
    "candidates.encoder": "its own model that embeds",
    "endpoints.usd_per_million_in": "dollars for a million tokens of prompts",
    "endpoints.usd_per_million_cached": "the same, of those that the server's prefix cache holds",
    "endpoints.usd_per_million_out": "dollars for a million tokens of answers",
    "endpoints.requests_per_minute": "most requests in a minute",
    "endpoints.tokens_per_minute": "most tokens in a minute",
    "costs.minutes_per_label": "what one label takes",
    "costs.hourly_rate": "dollars for an hour of labelling",
    "costs.usd_per_machine_hour": "dollars for an hour of the machine that trains and answers",
    "costs.volume_per_month": "answers a month",
    "costs.horizon_months": "how long the model is meant to be used",
    "costs.engineer_rate": "dollars for an hour of engineering",
    "costs.engineer_hours": "hours to build it, by family or candidate",
    "costs.refresh_months": "how often it is built again on newer data",
    "costs.refresh_labels": "new labels for each refresh",
    "costs.refresh_hours": "hours for each refresh, by family or candidate",
}
