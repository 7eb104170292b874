-- Tables of the oracle: what the tasks read, what they leave, and what an independent trigger remembers. As role app.

-- What ran. The key is the row key's text.
create table outbox (src text, key text, due_at timestamptz, at timestamptz default clock_timestamp());
grant select on outbox to public;

-- Every version of every row: due is null where the row is gone or its filter false. When it became valid is the commit
-- timestamp of xmin.
create table history (seq bigserial, src text, key text, due timestamptz);

create function remember() returns trigger language plpgsql security definer as $$
declare
    before jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    after  jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    old_key text := concat_ws('/', before ->> 'id', before ->> 'region');
    new_key text := concat_ws('/', after ->> 'id', after ->> 'region');
begin
    if before is not null and old_key <> new_key then
        insert into history (src, key, due) values (tg_argv[0], old_key, null);
    end if;
    if after is not null then
        insert into history (src, key, due) values (tg_argv[0], new_key,
            case when coalesce((after ->> 'live')::boolean, true) then (after ->> 'due')::timestamptz end);
    end if;
    return null;
end $$;

create function remember_truncate() returns trigger language plpgsql security definer as $$
begin
    insert into history (src, key, due) select distinct src, key, null::timestamptz from history where src = tg_argv[0];
    return null;
end $$;

-- :due is put in by the test: the instant of the 20,000.
create table item (id bigint primary key, due timestamptz, live boolean not null default true);
create index on item (due);
create table gone (id bigint primary key, due timestamptz);
create index on gone (due);
create table part (id bigint, region text, due timestamptz, primary key (id, region)) partition by list (region);
create table part_n partition of part for values in ('n');
create table part_s partition of part for values in ('s');
create table part_w (id bigint not null, region text not null, due timestamptz, primary key (id, region));
create table under_view (id bigint primary key, due timestamptz);
create view seen as select id, due from under_view where id % 7 <> 0;
create table elsewhere (id bigint primary key, due timestamptz);
create foreign table remote (id bigint, due timestamptz) server loopback options (table_name 'elsewhere');

insert into item select id, case when id <= 20000 then :due else :due + interval '1 day' + id * interval '1 second' end
from generate_series(1, 200000) id;
insert into history (src, key, due) select 'item', id, due from item;
insert into gone select id, :due from generate_series(1, 100) id;
insert into history (src, key, due) select 'gone', id, due from gone;
insert into part select id, case when id % 2 = 0 then 'n' else 's' end, :due + (id % 3) * interval '1 day' from generate_series(1, 300) id;
insert into history (src, key, due) select 'part', id || '/' || region, due from part;

create trigger remember after insert or update or delete on item for each row execute function remember('item');
create trigger remember after insert or update or delete on gone for each row execute function remember('gone');
create trigger remember_truncate after truncate on gone execute function remember_truncate('gone');
create trigger remember after insert or update or delete on part for each row execute function remember('part');
create trigger remember after insert or update or delete on under_view for each row execute function remember('seen');
create trigger remember after insert or update or delete on elsewhere for each row execute function remember('remote');
alter table item enable always trigger remember;

create function run_item(item) returns void language sql as
    $$ insert into outbox select 'item', $1.id, due_at from jittask.current_run() $$;
create function run_gone(gone) returns void language sql as
    $$ insert into outbox select 'gone', $1.id, due_at from jittask.current_run() $$;
create function run_part(part) returns void language sql as
    $$ insert into outbox select 'part', concat_ws('/', $1.id, $1.region), due_at from jittask.current_run() $$;
create function run_seen(seen) returns void language sql as
    $$ insert into outbox select 'seen', $1.id, due_at from jittask.current_run() $$;
create function run_remote(remote) returns void language sql as
    $$ insert into outbox select 'remote', $1.id, due_at from jittask.current_run() $$;

select jittask.create_date_task('item', 'item', 'due', 'run_item', filter => 'live');
select jittask.create_date_task('gone', 'gone', 'due', 'run_gone');
select jittask.create_date_task('part', 'part', 'due', 'run_part');
select jittask.create_date_task('seen', 'seen', 'due', 'run_seen', capture => 'scan', key_columns => '{id}');
select jittask.create_date_task('remote', 'remote', 'due', 'run_remote', capture => 'scan', key_columns => '{id}');
