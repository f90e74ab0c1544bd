"""Words that the project has left behind do not come back."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each phrase is written with underscores, so that this file does not hold it.
LEFT_BEHIND = [
    "prove_the_figures",
    "other_data_than_those_of_the_stored",
    "figures_of_different_ones",
    "that_order_alone_is_worth",
    "which_recbole's_gru4rec_has_not",
    "a_run_goes_on_where_it_was",
    "read_it_anew_for_a_recommendation",
    "everything_else_works_on",
    "show_the_card_of_one_model_in_short",
    "whether_the_history_stays_out",
    "items_to_choose_from;_all_without_it",
    "least_interactions_of_each_user",
    "settings_of_the_model_that_weights_do_not_tell",
    "of_a_new_repository;_else",
    "of_the_intervals_and_p-values",
    "of_what_the_plugin_brings",
    "not_as_it_should_be",
    "all_promises_are_kept",
    "nothing_of_these_is_checked_before",
    "nothing_of_items_but_who_met_them",
    "number_of_trained_numbers",
    "what_cannot_take_more_still_bounds_it",
    "what_is_no_candidate_compares",
    "so_that_nothing_later_stumbles",
    "weights_they_are_not_of",
    "a_switch_that_names_no_plugin_is_said",
]
TEXTS = (".py", ".md", ".txt", ".toml", ".yaml", ".yml", ".ipynb", ".cff")


def test_no_phrase_of_the_old_dialect_is_left():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: there is no git to ask for the tracked files")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    phrases = [phrase.replace("_", " ") for phrase in LEFT_BEHIND]
    found = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in TEXTS or not path.is_file():
            continue
        # Line breaks, comment signs and quotes may separate the words of a phrase.
        text = re.sub(r"[\s#\"`]+", " ", path.read_text("utf-8", errors="replace")).lower()
        found += [f"{name}: {phrase}" for phrase in phrases if phrase in text]
    assert not found, "\n".join(found)
