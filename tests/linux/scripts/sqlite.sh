# SPDX-License-Identifier: BSD-2-Clause
# SQLite, from its sources: transactions, write-ahead logging, crashes in the middle, two writers at a time.
echo "-- rows"
database t.db "create table t(id integer primary key, name text, value real)" \
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000)
     insert into t select i, 'row ' || i, i * 0.5 from n" \
    "create index by_name on t(name)" \
    "select count(*), sum(value), max(name) from t" \
    "select id from t where name = 'row 1234'" \
    "select name, length(hex(randomblob(8))) from t order by id desc limit 2"
echo "-- transactions"
database t.db "begin; delete from t; rollback; select count(*) from t" \
    "begin; delete from t where id > 1000; savepoint s; delete from t; rollback to s; commit; select count(*) from t"
database t.db "insert into t(id) values (1)"
echo "status $?"
echo "-- a crash before the end of a transaction, when pages were written already"
database t.db "pragma cache_size = 2; begin; update t set name = 'changed ' || id, value = 0; select crash()"
echo "status $?"
ls t.db-journal
database t.db "select count(*), sum(value), min(name) from t; pragma integrity_check"
ls t.db-journal
echo "-- write-ahead logging"
database t.db "pragma journal_mode = wal" "update t set value = value * 2" "select sum(value) from t"
echo "-- a crash after the end of a transaction, before it is in the database; and one before its end"
database t.db "pragma wal_autocheckpoint = 0; update t set value = value + 1; select crash()"
echo "status $?"
database t.db "pragma cache_size = 2; begin; delete from t; select crash()"
echo "status $?"
ls t.db*
database t.db "select count(*), sum(value) from t; pragma integrity_check"
echo "-- two writers and a reader"
database t.db "create table log(who, n)"
writer='begin immediate; insert into log values'
for who in a b; do
    (for n in 1 2 3 4 5 6 7 8 9 10; do database t.db "$writer ('$who', $n); select pause_ms(2); commit"; done > $who.out) &
done
database t.db "select count(*) <= 20 from log"
wait
database t.db "select who, count(*), sum(n) from log group by who" "pragma wal_checkpoint(truncate)" "vacuum" \
    "pragma integrity_check"
ls t.db*
