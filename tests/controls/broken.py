"""What run.py breaks: a text of the engine, what takes its place, and the test functions that must notice.

Test functions are named program.function: tests/unit/test_<program>.c.
"""

BROKEN = [
    # ---- reading ----
    {
        "name": "limits one entry too many",
        "file": "engine/store/entries.c",
        "old": "    uint64_t used = last->offset - first->offset + last->length;",
        "new": "    uint64_t used = last->offset - first->offset;",
        "noticed_by": ["reference_reads.a_batch_read_stops_in_the_middle_of_a_block",
                       "reference_reads.a_budget_is_met_exactly",
                       "reference_reads.entries_of_mixed_sizes_come_in_order",
                       "reference_reads.tiny_budgets_get_through_a_topic",
                       "reference_reads.the_tail_alone_is_read_without_repeats",
                       "reference_reads.single_and_batch_reads_take_turns",
                       "reference_bugs.empty_entries_are_read_like_others"],
    },
    {
        "name": "no cap of 2,000",
        "file": "engine/store/entries.c",
        "old": "limits->max_entries : WALRUS_BATCH_ENTRIES_MAX)",
        "new": "limits->max_entries : 100000)",
        "noticed_by": ["reference_reads.a_batch_read_stops_at_2000_entries",
                       "reference_batches.empty_entries_of_a_batch_are_entries",
                       "append_read.one_read_gives_at_most_2000_entries"],
    },
    {
        "name": "a read ends with its block",
        "file": "engine/store/read.c",
        "old": "        if (reading.sequence >= reading.at.block_end) {",
        "new": "        if (reading.sequence >= reading.at.block_end && entries->count > 0)\n            break;\n"
               "        if (reading.sequence >= reading.at.block_end) {",
        "noticed_by": ["reference_reads.a_batch_read_spans_blocks",
                       "reference_reads.a_batch_read_crosses_from_full_blocks_into_the_tail",
                       "reference_integrity.every_pattern_comes_back"],
    },
    {
        "name": "empty entries passed over",
        "file": "engine/store/read.c",
        "old": "        reading->sequence++;\n        reading->offset += header.payload_bytes + topic->delimiter_bytes;",
        "new": "        if (header.payload_bytes == 0)\n            entries->count--;\n        reading->sequence++;\n"
               "        reading->offset += header.payload_bytes + topic->delimiter_bytes;",
        "noticed_by": ["reference_bugs.empty_entries_are_read_like_others",
                       "reference_batches.empty_entries_of_a_batch_are_entries",
                       "reference_integrity.every_size_comes_back"],
    },
    {
        "name": "payload checksums not looked at",
        "file": "engine/store/read.c",
        "old": "header.payload_bytes) != header.payload_crc) {",
        "new": "header.payload_bytes) == header.payload_crc + 1) {",
        "noticed_by": ["recovery.a_flipped_bit_after_a_clean_close_is_reported",
                       "recovery.a_flipped_bit_in_a_large_entry_is_reported"],
    },
    {
        "name": "a large entry that does not fit is not read alone",
        "file": "engine/store/entries.c",
        "old": "    if (entries->count == 0)\n        return true;",
        "new": "    if (entries->count == 0)\n        return limits->max_bytes == 0 || length <= limits->max_bytes + (10u << 20);",
        "noticed_by": ["reference_reads.a_large_entry_behind_a_small_one_is_reached"],
    },
    {
        "name": "hints trusted blindly",
        "file": "engine/store/read.c",
        "old": "        position->hint_sequence >= known && position->hint_sequence <= position->sequence) {",
        "new": "        position->hint_sequence >= known) {",
        "noticed_by": ["append_read.stale_hints_mislead_nobody"],
    },
    # ---- cursors ----
    {
        "name": "peeks take",
        "file": "engine/store/cursor.c",
        "old": "    bool checkpoint = (flags & WALRUS_PEEK) == 0;",
        "new": "    bool checkpoint = true;",
        "noticed_by": ["reference_reads.peeks_take_nothing", "reference_reads.a_budget_is_met_exactly",
                       "cursor.reads_move_and_peeks_do_not"],
    },
    {
        "name": "strict without a checkpoint",
        "file": "engine/store/cursor.c",
        "old": "    return cursor->consistency.mode == WALRUS_STRICTLY_AT_ONCE ||\n",
        "new": "    return cursor->consistency.mode != WALRUS_STRICTLY_AT_ONCE &&\n",
        "noticed_by": ["reference_integrity.a_marathon_of_restarts_loses_and_repeats_nothing",
                       "cursor.a_dying_reader_replays_no_more_than_agreed",
                       "cursor.a_killed_reader_is_never_given_an_entry_twice"],
    },
    {
        "name": "at least once never persists",
        "file": "engine/store/cursor.c",
        "old": "           after->sequence - cursor->persisted_sequence > cursor->consistency.interval_entries;",
        "new": "           false;",
        "noticed_by": ["reference_reads.at_least_once_repeats_no_more_than_agreed",
                       "reference_bugs.at_least_once_persists_at_the_tail",
                       "cursor.a_dying_reader_replays_no_more_than_agreed"],
    },
    {
        "name": "cursors not persisted at close",
        "file": "engine/store/cursor.c",
        "old": "    if (cursor->moved && !atomic_load(&cursor->topic->deleted))",
        "new": "    if (false)",
        "noticed_by": ["reference_integrity.many_topics_come_back_whole", "cursor.cursors_persist_over_a_reopen"],
    },
    # ---- appending ----
    {
        "name": "no reserve at a block's end",
        "file": "engine/store/append.c",
        "old": "    if (tail && topic->tail_place + need + BLOCK_RESERVE_BYTES <= tail->bytes)",
        "new": "    if (tail && topic->tail_place + need <= tail->bytes + BLOCK_RESERVE_BYTES)",
        "noticed_by": ["append_read.blocks_are_filled_to_the_last_byte"],
    },
    {
        "name": "a full disk is no error",
        "file": "engine/store/append.c",
        "old": "    code = ready_tail(topic, need, error);\n    if (code != WALRUS_OK) {",
        "new": "    code = ready_tail(topic, need, error);\n    if (code == WALRUS_E_NO_SPACE) {\n"
               "        pthread_mutex_unlock(&topic->append_lock);\n        return WALRUS_OK;\n    }\n"
               "    if (code != WALRUS_OK) {",
        "noticed_by": ["reference_bugs.a_full_disk_acknowledges_what_is_readable"],
    },
    {
        "name": "a failed sync is forgotten",
        "file": "engine/store/sync_point.c",
        "old": "        atomic_store(&point->failed, rc);\n",
        "new": "",
        "noticed_by": ["reference_bugs.a_failed_background_sync_is_told_to_the_next_caller"],
    },
    # ---- batches ----
    {
        "name": "no commit mark needed",
        "file": "engine/store/recovery_topic.c",
        "old": "SABOTAGED(no_commit_mark_check)",
        "new": "true",
        "noticed_by": ["batch.a_batch_without_its_mark_is_dropped_whole",
                       "reference_bugs.a_kill_in_a_batch_leaves_whole_batches"],
    },
    {
        "name": "a batch is seen in parts",
        "file": "engine/store/batch.c",
        "old": "        bool last = i + 1 == plan->run_count;",
        "new": "        bool last = true;\n        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);\n        if (i + 1 < plan->run_count) {\n"
               "            result->end.sequence = plan->runs[i + 1].block->first_sequence;\n"
               "            result->end.offset = plan->runs[i + 1].block->first_offset;\n        } else {\n"
               "            result->end.sequence = plan->sequence;\n            result->end.offset = plan->offset;\n        }",
        "noticed_by": ["batch.readers_see_whole_batches"],
    },
    {
        "name": "a failed batch is not given up",
        "file": "engine/store/batch.c",
        "old": "        if (code != WALRUS_OK)\n            topic->tail = NULL;",
        "new": "        if (code != WALRUS_OK && result.end.sequence)\n            topic->next_sequence = plan.sequence;",
        "noticed_by": ["reference_batches.a_failed_batch_is_invisible_and_its_place_is_used_again"],
    },
    {
        "name": "batches without a lock",
        "file": "engine/store/append.c",
        "old": "    } else {\n        pthread_mutex_lock(&topic->append_lock);\n    }",
        "new": "    }",
        "noticed_by": ["reference_batches.batches_and_appends_interleave"],
    },
    {
        "name": "limits of a batch not looked at",
        "file": "engine/api/api_append.c",
        "old": "    if (entry_count > most)",
        "new": "    if (entry_count > most + 1)",
        "noticed_by": ["reference_batches.a_rejected_batch_harms_nobody", "batch.batch_limits_write_nothing"],
    },
    # ---- recovery ----
    {
        "name": "recovery drops what has a later record",
        "file": "engine/store/recovery_topic.c",
        "old": "    walk->horizon_known = true;",
        "new": "    walk->horizon_known = true;\n    walk->horizon = 0;",
        "noticed_by": ["reference_integrity.a_zeroed_header_in_durable_entries_is_reported",
                       "recovery.a_hole_in_durable_entries_is_damage"],
    },
    {
        "name": "files in the order of their times",
        "file": "engine/store/recovery_topic.c",
        "old": "    return (x->index > y->index) - (x->index < y->index);",
        "new": "    return (x->segment_offset > y->segment_offset) - (x->segment_offset < y->segment_offset);",
        "noticed_by": ["reference_bugs.the_order_of_files_is_not_the_clocks"],
    },
    {
        "name": "a bad block ends its file",
        "file": "engine/store/recovery_blocks.c",
        "old": "            segment->used_end = at;\n            unknown_at = 0;\n            continue;",
        "new": "            segment->used_end = at;\n            unknown_at = 0;\n            if (bytes[block_header_bytes(header.name_bytes) + 20] != 1)\n                break;\n            continue;",
        "noticed_by": ["reference_bugs.a_bad_first_entry_hides_nothing_behind_it"],
    },
]
