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
    "carry_a_model_on",
    "carries_a_model_on",
    "carry_a_checkpoint_on",
    "carry_on_the_checkpoint",
    "carrying_on_from",
    "carried_on_with",
    "is_carried_on",
    "was_carried_on",
    "can_be_carried_on",
    "run_goes_on",
    "run_went_on",
    "command_goes_on",
    "call_goes_on",
    "runs_go_on",
    "to_go_on",
    "begin,_or_go_on",
    "goes_on_answering",
    "goes_on_with",
    "goes_on_from",
    "stop,_go_on",
    "_anew",
    "goes_on_where",
    "goes_on_as_if",
    "is_said",
    "stands_where",
    "is_no_candidate",
    "times_as_fast_as_the_naive_way",
    "what_was_wanted_of",
    "_afresh",
    "stand_beside",
    "stands_beside",
    "beside_it_stands",
    "beside_each_item",
    "beside_our_own",
    "beside_baselines",
    "beside_the_stored",
    "beside_the_plain",
    "beside_the_model",
    "beside_items_and",
    "beside_learning_rate",
    "number_of_numbers",
    "whole_or_not_at_all",
    "stands_before",
    "stand_in_at_least_one",
    "never_stand_together",
    "never_stands_whole",
    "places_of_all_lists",
    "draws_the_places",
    "one_row_an_event",
    "one_row_a_user",
    "object_a_line",
    "bytes_a_user",
    "whose_users_to_serve",
    "requests_that_may_wait;",
    "0_takes_a_free_port",
    "time_that_it_goes_on",
    "requests_call_it_title",
    "token_of_clients",
    "sessions_of_users",
    "trials_in_the_folder,_all_calls",
    "settings_of_every_trial;_they",
    "its_items_in_their_order,_new_items_added",
    "the_data_decide",
    "the_data_decided",
    "text_from_outside",
    "values_from_outside",
    "documents_from_outside",
    "reads_from_outside",
    "nothing_from_outside",
    "so_many_at_once",
    "so_many_items",
    "so_many_times",
    "is_no_data_set",
    "is_no_row_of",
    "is_no_table",
    "is_no_plain",
    "are_no_utf-8",
    "changed_meanwhile",
    "the_plain_way",
    "everybody's_recommendations",
    "found_and_mended",
    "before_mending",
    "seconds_of_the_processor",
    "read_their_window_again",
    "reads_its_window_again",
    "self-attention_on_both_sides",
    "makes_no_claim_to",
    "what_we_ask_of_a_test",
    "carry_on",
    "carries_on",
    "carrying_on",
    "carried_on",
    "does_not_answer_as_the_hub",
    "or_is_none;",
    "value_is_none.",
    "of_which_nothing_is",
    "of_which_backends",
    "of_which_those",
    "of_which_a_query",
    "something_else_than",
    "is_no_tensor_(",
    "is_no_list_of",
    "the_nearnesses",
    "whatever_else",
    "whatever_they",
    "whatever_is",
    "whatever_the",
    "whatever_clients",
    "besides_items",
    "besides_its",
    "besides_what",
    "besides_the",
    "besides_weights",
    "the_out_file",
    "what_it_gains",
    "programs_of_torch",
    "the_score_is_their_number",
    "within_the_same_time_again",
    "this_very_one",
    "others_have_published_there",
    "is_given_up_after",
]
TEXTS = (".py", ".md", ".txt", ".toml", ".yaml", ".yml", ".ipynb", ".cff", ".html", ".js")


PHRASES = [phrase.replace("_", " ") for phrase in LEFT_BEHIND]


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The names of the tracked files."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: there is no git to list the tracked files")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listed.stdout.splitlines()


def test_no_phrase_of_the_old_dialect_is_left(tracked):
    found = []
    for name in tracked:
        path = ROOT / name
        if path.suffix not in TEXTS or not path.is_file():
            continue
        # Line breaks, comment signs and quotes may separate the words of a phrase.
        content = path.read_text("utf-8", errors="replace")
        text = re.sub(r"[\s#\"`]+", " ", content).lower()
        # Names of functions too; they have the words of a phrase between underscores.
        named = " ".join(re.findall(r"\bdef (\w+)", content)).replace("_", " ").lower()
        found += [f"{name}: {phrase}" for phrase in PHRASES if phrase in text or phrase in named]
        if "HIT@" in content and path != Path(__file__):
            found.append(f"{name}: HIT@ in place of HR@")
    assert not found, "\n".join(found)


def test_no_file_is_named_with_such_a_phrase(tracked):
    names = {name: re.sub(r"[-_./]+", " ", name).lower() for name in tracked}
    assert not [name for name, words in names.items() if any(each in words for each in PHRASES)]
