-- Working with single occurrences.

create function jittask.cancel_record(id bigint) returns boolean
language c volatile as 'MODULE_PATHNAME', 'cancel_record_wrapper';
comment on function jittask.cancel_record(bigint) is
    'cancels a pending occurrence, or interrupts an executing one; neither is retried; false if it has ended';

create function jittask.retry_record(id bigint) returns boolean
language c volatile as 'MODULE_PATHNAME', 'retry_record_wrapper';
comment on function jittask.retry_record(bigint) is
    'makes a failed, skipped or cancelled occurrence pending again, due at once, attempts counted anew; false otherwise';
