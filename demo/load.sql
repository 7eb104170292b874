-- The tables of the demo, owned by the role that runs this: three of Chinook's, an outbox, and two service functions.
-- Runs in demo/chinook; psql reads the files itself.
\set ON_ERROR_STOP on
set client_min_messages = warning;

create table customers (
  customer_id int primary key,
  first_name  text not null,
  last_name   text not null,
  company     text,
  city        text,
  state       text,
  country     text not null,
  email       text not null
);
create table invoices (
  invoice_id      int primary key,
  customer_id     int not null references customers,
  invoice_on      date not null,
  billing_country text not null,
  total           numeric not null,
  due_on          date
);

\copy customers from 'customers.csv' with (format csv, header)
\copy invoices (invoice_id, customer_id, invoice_on, billing_country, total) from 'invoices.csv' with (format csv, header)

-- Chinook ends in 2011: move all its invoices by one number of days, so that the latest is of yesterday.
update invoices set invoice_on = invoice_on + (current_date - 1 - (select max(invoice_on) from invoices));
update invoices set due_on = invoice_on + 30;
create index on invoices (due_on);

create table outbox (
  id      bigint generated always as identity primary key,
  sent_at timestamptz not null default clock_timestamp(),
  message text not null
);

-- The service function of a date-field task: it takes the row that fell due.
create function remind(invoice invoices) returns text
language plpgsql as $$
declare
  addressee customers := (select c from customers c where c.customer_id = invoice.customer_id);
begin
  perform pg_sleep(1);   -- work that takes its time
  insert into outbox (message)
  values (format('Dear %s, invoice %s over %s is due on %s.',
                 addressee.first_name, invoice.invoice_id, invoice.total, invoice.due_on));
  return 'reminded ' || addressee.email;
end $$;

-- The service function of a scheduled task takes nothing.
create function greet() returns text
language plpgsql as $$
begin
  perform pg_sleep(1);
  insert into outbox (message) values ('Good night, all.');
  return 'greeted';
end $$;
