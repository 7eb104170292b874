-- The two kinds of task, both due some seconds from now. Runs as an ordinary role, with the tables of load.sql;
-- the variable `reminders` says how many invoices are to fall due.
\set ON_ERROR_STOP on

-- The moment at which the reminders are due: five seconds from now, as a day and a time of day (it may be past midnight).
select (now() + '5 seconds')::date as day, (now() + '5 seconds')::time(0) as time_of_day \gset

-- A few invoices are due three days after that day: so many of the latest ones, and one trifle, which the task's filter
-- will leave out. No other is.
update invoices set due_on = due_on + 1 where due_on = :'day'::date + 3;
update invoices set due_on = :'day'::date + 3
where invoice_id in ((select invoice_id from invoices where total > 1 order by invoice_on desc, invoice_id desc limit :reminders)
                     union all
                     (select invoice_id from invoices where total <= 1 order by invoice_on desc, invoice_id desc limit 1));

\echo
\echo Invoices that fall due in three days:
select invoice_id, customer_id, invoice_on, due_on, total from invoices where due_on = :'day'::date + 3 order by invoice_id;

\echo A task on a date in a table: three days before an invoice is due, if it is more than a trifle.
select jittask.create_date_task('Invoice due soon', 'invoices', 'due_on', 'remind',
                                before => '3 days', at => :'time_of_day', filter => 'total > 1') as task;

\echo A task on a schedule, without any table:
select jittask.create_scheduled_task('Nightly greeting', start_at => now() + '8 seconds',
                                     service_function => 'greet') as task;

\echo Both, as jittask.tasks shows them:
select name, kind, state, schedule, next_due_at from jittask.tasks order by name;
