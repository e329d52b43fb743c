-- What the guards did to a request; null as long as there are none.
alter table ledger add column guard text;
