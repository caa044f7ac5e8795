# SPDX-License-Identifier: BSD-2-Clause
# Containers beside this Linux, by `container`: each has a Linux of its own.
container run --rm busybox sh -c 'echo "on $(hostname)"; echo aside >&2; exit 3' 2>/tmp/said
echo "status $?"
cat /tmp/said
container run -e A=1 --rm busybox sh -c 'echo "A=$A"; ps | wc -l'
echo from here | container run -i --rm busybox cat
container run -d --name web -m 8M busybox sleep 1000
container run --name web busybox true
echo "status $?"
container list | sed 's/ [0-9][0-9]* / N /' | tr -s ' '
container exec -w /tmp web sh -c 'pwd; exit 4'
echo "status $?"
echo from there | container exec -i web sh -c 'cat; exit 5'
echo "status $?"
container stats | awk 'NR == 2 { print $1, $5, $6, ($3 > 0) }'
id=$(container list | awk '$1 == "web" { print $2 }')
# The same by files, as any script can have it.
ls /proc/ic/$id
awk '$1 == "quota" { print $2 }' /proc/ic/$id/cost
container inspect web | sed 's/"id":"[0-9]*"/"id":N/; s/"pid":[0-9]*/"pid":N/'
container rm web
echo "status $?"
# The first process of a container handles a signal, or is not killed by it.
container kill -s TERM web
container list | grep -c running
container kill web
container wait web
container list | sed 's/ [0-9][0-9]* / N /' | tr -s ' '
container rm web
[ -e /proc/ic/$id ] || echo gone
container logs web
echo "status $?"
# What is printed is kept, the last of it.
container run -d --name loud busybox sh -c 'echo one; echo two'
container wait loud
container logs loud
container rm loud
container run --rm nothing
echo "status $?"
container run --rm -m 1 busybox
echo "status $?"
container dance
echo "status $?"
# Ctrl-C is a signal for its first process, and the second one ends it.
container run --rm --name stubborn busybox sh -c 'trap "echo no" INT; while :; do sleep 1; done' &
sleep 2
kill -INT $!
sleep 2
kill -INT $!
wait $!
echo "status $?"
# Whoever may not see the system's contexts may not make containers.
su -s /bin/sh nobody -c 'container run busybox' 2>&1 | sed 's/ (os.*//'
container list | wc -l
