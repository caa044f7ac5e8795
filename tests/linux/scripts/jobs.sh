# SPDX-License-Identifier: BSD-2-Clause
# Processes that wait for each other, end and are killed.
sleep 100 &
kill $!
# Whether the shell says so depends on when it learns it.
wait $! > /dev/null 2>&1
echo "killed: $?"
sh -c 'kill -9 $$'
echo "killed itself: $?"
sh -c 'exit 42'
echo "exits: $?"
mkfifo fifo
echo through > fifo &
cat fifo
wait
n=0
while [ $n -lt 50 ]; do
    n=$((n + 1))
    true
    /bin/true
done
echo $n
seq 20 | xargs -n 1 -P 4 sh -c 'echo $0' | sort -n | tr '\n' ' '
echo
timeout 1 sleep 10
echo "timed out: $?"
nothing_of_this_name
echo "not found: $?"
