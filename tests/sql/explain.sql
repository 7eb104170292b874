-- Why a row runs, ran, or will not; and what would be due in a window.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema explain authorization regress_owner;
set role regress_owner;
set search_path = explain, public;
set timezone = 'UTC';
create table contract (id int primary key, due_on date, ends_on date, status text);
create index on contract (due_on);
create function remind(contract) returns void language sql as '';
insert into contract values
    (1, '2101-02-12', null, 'open'),          -- a Saturday
    (2, '2101-02-15', null, 'closed'),
    (3, null, null, 'open'),
    (4, '2101-02-15', '2101-01-01', 'open'),
    (5, '2101-03-08', null, 'open'),
    (6, 'infinity', null, 'open');
select jittask.create_calendar('feast');
select jittask.add_holiday('feast', '2101-02-14', 'Carnival');
select jittask.create_date_task('Due', 'contract', 'due_on', 'remind', at => '09:00', filter => 'status = ''open''', end_column => 'ends_on',
    skip_holidays => true, calendar => 'feast', time_zone => 'Asia/Shanghai');
-- moved by the weekend and a holiday
select * from jittask.explain_row('due', '{"id": 1}');
-- filtered
select * from jittask.explain_row('due', '{"id": 2}');
-- null, infinite
select * from jittask.explain_row('due', '{"id": 3}');
select * from jittask.explain_row('due', '{"id": 6}');
-- beyond the end
select * from jittask.explain_row('due', '{"id": 4}');
-- several holidays in a row, an offset, and each of the shifts; the zone's own days
select jittask.add_holiday('feast', '2101-01-30', 'Founders'' Day'), jittask.add_holiday('feast', '2101-01-31', 'Founders'' Day'),
    jittask.add_holiday('feast', '2101-02-01', 'Lantern Feast'), jittask.add_workday('feast', '2101-02-05', 'made up');
insert into contract values (8, '2101-02-06', null, 'open'), (9, '2101-02-11', null, 'open');   -- seven days before: Sunday 30 January, Friday 4 February
select jittask.create_date_task('Before ' || shift, 'contract', 'due_on', 'remind', before => '7 days', at => '09:00', skip_holidays => true,
    calendar => 'feast', holiday_shift => shift, time_zone => 'Asia/Shanghai') from unnest(enum_range(null::jittask.holiday_shift)) shift;
select * from jittask.explain_row('before_following', '{"id": 8}');
select * from jittask.explain_row('before_preceding', '{"id": 8}');
select * from jittask.explain_row('before_modified_following', '{"id": 8}');
select * from jittask.explain_row('before_drop', '{"id": 8}');
select * from jittask.explain_row('before_drop', '{"id": 9}');
-- repeating until an end, some of it dropped
select jittask.create_date_task('Collect', 'contract', 'due_on', 'remind', at => '09:00', repeat => 'daily', end_column => 'due_on', end_after => '2 days',
    skip_holidays => true, calendar => 'feast', holiday_shift => 'drop', time_zone => 'Asia/Shanghai');
select * from jittask.explain_row('collect', '{"id": 1}');
-- no such row
select * from jittask.explain_row('due', '{"id": 7}');
select refused($$select * from jittask.explain_row('due', null)$$);
select refused($$select * from jittask.explain_row('due', '{"no": 7}')$$);
select refused($$select * from jittask.explain_row('nothing', '{"id": 7}')$$);
-- simulate
select row_key, nominal_at, due_at from jittask.simulate('due', '2101-02-01', '2101-03-01');
select row_key, nominal_at, due_at from jittask.simulate('due', '2101-03-08 01:00', '2101-03-08 01:00:00.000001');
select count(*) from jittask.simulate('due', '2101-03-08 01:00:00.000001', '2200-01-01');
select refused($$select * from jittask.simulate('due', null, '2101-03-01')$$);
create function tick() returns void language sql as '';
select jittask.create_scheduled_task('Tick', '2100-01-01 09:00', 'tick', rule => 'FREQ=MONTHLY;BYMONTHDAY=-1', time_zone => 'UTC');
select due_at from jittask.simulate('tick', '2100-02-01', '2100-05-01');
select refused($$select * from jittask.explain_row('tick', '{"id": 7}')$$);
-- for the owner alone, superusers included
reset role;
select refused($$select * from explain.contract, jittask.explain_row('due', '{"id": 1}')$$);
select refused($$select * from jittask.simulate('due', '2101-02-01', '2101-03-01')$$);
