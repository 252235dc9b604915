//! The cases: every sentence of the contract as a function over a fresh store.

use std::fmt;

use crate::Fixture;

mod checked;
mod concurrency;
mod copies;
mod durability;
mod events;
mod exactness;
mod idempotency;
mod isolation;
mod links;
mod lists;
mod log;
mod payments;
mod removal;
mod retention;
mod rules;
mod sets;
mod stages;
mod unique;
mod uses;

/// One case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// The sentence, and the name of the test.
    pub name: &'static str,
    run: fn(&mut dyn Fixture),
}

impl Case {
    /// Runs the case against a fresh store. It panics where the store does not hold the sentence.
    pub fn run(&self, fixture: &mut dyn Fixture) {
        (self.run)(fixture);
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Runs the case of this name against a fresh store.
pub fn run(name: &str, fixture: &mut dyn Fixture) {
    let case = CASES.iter().find(|case| case.name == name);
    case.unwrap_or_else(|| panic!("there is no case `{name}`")).run(fixture);
}

macro_rules! suite {
    ($d:tt $($module:ident { $($case:ident)+ })+) => {
        /// The whole suite.
        pub const CASES: &[Case] = &[$($(Case { name: stringify!($case), run: $module::$case },)+)+];

        /// Makes every case of the suite a test of the store that a function opens. See the [crate](crate).
        #[macro_export]
        macro_rules! conformance {
            ($d open:path) => {
                $($(
                    #[test]
                    fn $case() {
                        $crate::run(stringify!($case), &mut $d open());
                    }
                )+)+
            };
        }
    };
}

suite! {
    $
    sets {
        a_fresh_store_is_empty
        a_set_is_applied_whole_and_seen_at_once
        a_set_whose_last_change_fails_changes_nothing
        a_set_whose_middle_change_fails_changes_nothing
        an_empty_set_is_refused
        a_change_behind_a_cascade_is_refused
        a_cascade_takes_what_its_own_set_created
        a_set_moves_the_default_from_one_profile_to_another
        a_set_swaps_two_names_by_way_of_a_third
        a_parent_comes_before_its_child_in_a_set
        a_child_goes_before_its_parent_in_a_set
        a_set_creates_updates_and_removes_one_object
        a_set_removes_an_object_and_uses_its_id_and_name_again
        a_set_moves_a_child_and_removes_its_former_parent
        what_went_along_in_a_set_is_gone_for_its_later_changes
        a_set_counts_children_as_it_leaves_them
        a_set_of_hundreds_of_changes_is_one_commit
        one_set_writes_to_payments_and_profiles_alike
    }
    checked {
        an_id_that_lives_is_not_created_again
        an_incarnation_is_not_created_again_under_another_id
        nothing_is_created_without_its_parent
        a_parent_of_another_tenant_is_no_parent
        an_update_replaces_the_version_below_its_own
        an_object_that_does_not_live_is_neither_updated_nor_removed
        a_removal_names_the_version_that_it_removes
        of_one_creation_the_id_is_judged_before_the_parent_and_the_parent_before_the_keys
        of_one_update_or_removal_the_version_is_judged_first
        of_several_keys_the_first_that_is_taken_is_named
        of_several_changes_the_first_that_fails_wins
        an_expectation_is_judged_before_every_change
        of_several_expectations_the_first_that_fails_wins
        an_expected_version_guards_what_is_only_read
        an_expected_version_is_of_the_tenant_that_it_names
        an_expected_count_is_of_children_that_count
        an_expected_free_key_is_nobodys
        an_idempotency_key_is_judged_before_everything_else
        a_refused_set_keeps_no_claim
    }
    unique {
        a_profile_name_is_unique_within_its_merchant_account
        names_are_compared_character_by_character
        a_name_is_free_again_after_a_rename_and_after_a_removal
        an_update_may_keep_its_own_keys
        a_merchant_account_has_at_most_one_default_profile
        a_connector_label_is_unique_within_its_profile
        a_profile_has_at_most_one_active_routing_program
        the_ids_of_tenants_are_unique_over_the_whole_store
        a_publishable_key_is_unique_over_the_whole_store
        a_former_publishable_key_leads_to_its_account_and_is_nobody_elses
        a_digest_is_unique_over_the_whole_store_and_free_after_revocation
        what_a_cascade_removed_holds_no_keys
    }
    removal {
        a_removal_is_refused_with_the_exact_counts_of_children
        an_object_without_children_is_removed_alone
        revoked_keys_and_data_keys_go_along_without_a_cascade
        a_payment_takes_its_links_along
        a_routing_program_takes_its_versions_along_without_a_cascade
        a_profile_takes_everything_below_it_along_and_nothing_else
        a_merchant_account_takes_everything_below_it_along_and_nothing_else
        an_organization_takes_its_merchant_accounts_along_and_no_other
        an_organization_takes_its_data_keys_along_without_a_cascade
        a_cascade_is_one_entry_that_names_only_what_it_was_told
        a_merchant_id_used_again_sees_nothing_of_its_former_owner
        an_organization_is_pinned_by_its_incarnation
    }
    isolation {
        a_path_through_another_organization_leads_nowhere
        a_path_to_another_tenant_does_not_find_the_ids_of_this_one
        equal_ids_in_two_tenants_are_two_objects
        an_organization_that_does_not_live_is_none
        an_organization_lists_its_own_merchant_accounts
        an_empty_collection_is_not_an_absent_one
        connectors_are_listed_by_profile_within_their_tenant
        a_digest_leads_to_its_key_whosever_it_is
        a_publishable_key_leads_to_its_account_whosever_it_is
    }
    links {
        a_hold_stands_until_its_deadline_and_a_confirmed_use_for_good
        uses_are_counted_for_each_link_and_of_its_tenant
        no_use_is_claimed_beyond_the_limit
        a_clock_that_is_behind_revives_no_hold_and_claims_none_twice
        never_more_than_n_uses_however_many_claim_at_once
        racing_claims_and_late_confirmations_share_the_places_of_lapsed_holds
        uses_are_listed_by_their_link_newest_first
        a_link_of_its_own_is_held_up_by_its_profile_and_holds_up_its_uses
    }
    lists {
        a_list_has_the_order_of_its_collection
        profiles_are_listed_oldest_first
        organizations_and_merchant_accounts_are_listed_oldest_first
        ties_are_broken_by_the_bytes_of_the_id
        a_page_has_one_record_more_than_its_limit_where_there_is_one
        a_cursor_is_exclusive_and_need_not_live
        records_that_come_and_go_between_pages_skip_and_repeat_no_other
        a_page_behind_a_cursor_that_no_list_gave_is_what_lies_behind_it
        a_list_reaches_to_both_ends_of_time
        an_update_moves_nothing_in_a_list
        a_blocklist_counts_all_of_its_entries_on_every_page
        no_other_collection_is_counted
        data_keys_are_listed_by_what_wrapped_them_over_all_tenants
    }
    payments {
        open_payments_are_listed_by_when_they_expire
        a_payment_that_nobody_waits_for_is_not_open
    }
    events {
        pending_events_are_listed_over_all_tenants_by_when_they_are_due
        an_event_that_is_not_pending_is_in_no_outbox
        a_merchant_account_lists_its_own_events_and_the_outbox_is_none_of_its_lists
        an_event_is_unique_within_its_account_by_what_it_is_the_same_by
        a_payment_takes_its_events_along_and_is_held_up_by_them
    }
    rules {
        a_blocklist_is_scanned_by_name_whole_and_in_parts
        a_scan_tells_reasons_and_metadata_where_they_are_asked_for
        a_scan_counts_the_list_by_kind_and_version
        a_scan_finds_what_has_expired_in_the_order_in_which_it_did
        a_scan_keeps_to_its_tenant
        many_entries_are_added_as_one_change_and_one_counted_line
        many_entries_are_added_whole_or_not_at_all
        a_purge_takes_what_has_expired_and_nothing_else
        an_expected_number_of_fingerprints_guards
        entries_of_a_profile_go_with_it_and_hold_it_up
        entries_of_an_organization_go_with_it_and_hold_it_up
        equal_names_in_an_organization_and_a_merchant_account_are_two_entries
    }
    uses {
        the_last_use_of_a_key_is_marked_and_nothing_else_of_it
        an_update_leaves_the_mark_of_the_last_use
        keys_that_do_not_live_are_passed_over_when_uses_are_marked
        marked_uses_are_the_only_change_of_their_set
        keys_are_listed_by_when_they_end
        keys_are_listed_by_how_long_they_are_idle
        keys_are_listed_by_the_pepper_of_their_digest
        a_copy_takes_the_marks_of_last_uses_along
    }
    log {
        every_commit_stands_in_the_log_once_with_all_that_it_says
        a_revocation_is_logged_as_one
        a_revelation_is_logged_and_changes_nothing
        the_log_of_an_organization_names_no_merchant_account
        a_refused_or_replayed_set_does_not_stand_in_the_log
        positions_rise_and_times_never_step_back
        each_class_has_a_head_of_its_own
        the_log_is_read_by_tenant_and_by_object
        the_entries_of_removed_tenants_stay
        the_log_is_read_behind_a_position_and_up_to_a_limit
        no_more_than_a_thousand_entries_come_at_once
    }
    idempotency {
        an_equal_request_is_answered_with_the_first_answer
        another_request_under_a_used_key_is_refused
        a_claim_reads_back_exactly
        keys_are_kept_exactly_as_they_are_written
        an_expired_claim_is_as_good_as_none_and_is_replaced
        a_claim_expires_by_the_time_of_the_set_and_not_of_the_log
        an_expired_claim_is_kept_where_its_successor_is_refused
        equal_keys_of_two_tenants_are_two_keys
        what_belongs_to_no_organization_is_claimed_by_the_platform
    }
    exactness {
        texts_keep_their_case_and_their_characters
        the_longest_texts_are_kept
        free_objects_are_kept_to_the_character
        numbers_in_free_objects_are_kept_to_the_bit
        times_keep_their_milliseconds_from_the_first_to_the_last
        the_time_of_a_commit_may_be_the_last_of_all
        the_time_of_the_first_commit_is_not_before_unix_time
        versions_are_exact_up_to_the_largest
        every_field_of_an_entry_of_a_blocklist_is_kept
    }
    concurrency {
        racing_updates_are_applied_or_stale_and_none_is_lost
        of_racing_creations_of_one_unique_key_exactly_one_wins
        of_racing_equal_requests_exactly_one_is_carried_out
        no_child_outlives_a_parent_that_is_removed_beside_its_creation
        racing_sets_hold_their_expectations
        of_an_activation_and_a_removal_of_its_account_exactly_one_wins
        a_follower_beside_many_writers_misses_no_commit_and_sees_none_twice
        a_reader_beside_a_writer_sees_whole_sets_only
        a_commit_that_is_not_polled_is_not_done
        a_commit_that_is_dropped_on_its_way_is_whole_or_absent
        a_read_that_is_dropped_leaves_the_store_usable
    }
    retention {
        pruning_removes_exactly_the_oldest_entries
        pruning_by_age_removes_what_is_older_and_nothing_of_the_moment
        the_newest_entry_is_never_pruned
        an_empty_log_is_pruned_of_nothing
        a_log_is_pruned_in_bounded_steps
        no_more_than_a_thousand_rows_go_at_once
        a_long_entry_is_pruned_with_all_that_leads_to_it
        a_follower_behind_what_was_pruned_is_told_and_one_ahead_is_not
        the_head_says_how_far_when_and_by_whom_the_log_was_pruned
        each_head_outlives_its_entry
        pruning_the_log_changes_nothing_else
        claims_go_at_the_moment_of_their_expiry_and_others_still_replay
        a_claim_that_was_replaced_expires_when_its_successor_does
        claims_are_purged_in_bounded_steps_the_first_to_expire_first
        commits_beside_a_pruning_are_all_followed_or_their_loss_is_told
        a_pruning_that_is_dropped_on_its_way_is_whole_or_absent
        a_pruned_log_goes_on_after_a_crash
    }
    stages {
        a_stage_is_seen_by_nobody_until_it_is_made_live
        a_stage_says_which_of_its_rows_are_taken
        a_stage_is_made_live_whole_or_not_at_all
        parts_come_one_behind_the_other_or_not_at_all
        what_is_made_live_is_counted_by_kind_and_version
        rows_of_a_profile_that_went_keep_a_stage_from_being_made_live
        a_stage_of_one_list_is_no_others
        an_organizations_list_has_stages_too
        stages_are_pruned_in_bounded_steps_the_untouched_ones
        a_stage_goes_with_its_tenant
        a_stage_outlives_a_crash
    }
    copies {
        an_export_is_the_whole_store_in_the_order_of_loads
        an_export_of_an_organization_is_its_own_part_of_everything
        an_export_is_of_one_moment
        an_export_that_is_dropped_leaves_the_store_usable
        an_imported_load_is_there_as_it_was
        commits_go_on_behind_what_was_imported
        a_load_that_is_written_again_changes_nothing
        of_a_load_that_is_refused_nothing_is_written
        an_entry_keeps_its_place_or_is_refused
        entries_of_an_organization_are_appended_once
        a_load_that_is_no_load_is_refused
        an_export_of_a_pruned_store_begins_where_its_log_does
        an_export_says_which_entry_of_configuration_was_pruned_last
        a_log_is_imported_with_its_beginning
        a_log_that_begins_elsewhere_is_refused
        no_beginning_is_set_in_a_log_that_has_one
    }
    durability {
        all_that_was_committed_is_there_after_a_crash
        the_log_goes_on_after_a_crash_where_it_ended
    }
}
