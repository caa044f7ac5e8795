# SPDX-License-Identifier: BSD-2-Clause
# The system's isolation contexts, as files and by `ic`.
# What a program of the system prints goes to the console at once, so it is seen before the rest.
cd /proc/ic
ls | grep -v '^[0-9]'
ic list | head -1 | tr -s " "
ic list | grep -c ' ic_manager '
# The one that makes processes, by its number.
factory=$(ic list | awk '$3 == "process_factory" || $3 == "process" { print $1; exit }')
ic stat $factory | grep '^id' | awk -v id=$factory '{ print ($2 == id) }'
cmp /proc/ic/$factory/status /proc/ic/$factory/status && echo same
ic factories | grep '^process ' | wc -l
ic graph | head -1
ic run process hello --exit 7 a b
echo "status $?"
ic run process crash null
echo "status $?"
ic run nothing hello
echo "status $?"
ic stat 999999999
echo "status $?"
# A program of the system's own in the background, ended by its number.
ic run process crash spin &
sleep 1
id=$(ic list | awk '$3 == "crash" { print $1 }')
ic kill $id
wait $!
echo "status $?"
[ -e /proc/ic/$id ] || echo gone
# Neither the manager nor address spaces of Linux programs; nobody but the superuser.
linux=$(ic list | awk '$3 == "linux" { print $1; exit }')
ic kill $linux 2> /tmp/said
echo "status $?"
sed "s,/$linux/,/N/," /tmp/said
su -s /bin/sh nobody -c 'echo kill > /proc/ic/1/control' 
echo "status $?"
ic dance 2>&1 | head -1
