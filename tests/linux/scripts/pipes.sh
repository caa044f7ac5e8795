# SPDX-License-Identifier: BSD-2-Clause
# Pipes, redirection, here-documents, substitution.
echo one two three | tr ' ' '\n' | sort | sed 's/^/- /'
printf 'b\na\nc\n' > list
sort < list > sorted && cat sorted
cat nothing 2> error || echo "failed: $(cat error)"
cat <<END
here $((6 * 7))
END
echo appended >> list
wc -l < list
yes | head -n 3
seq 100000 | tail -n 1
(exit 3); echo "status $?"
for n in 1 2 3; do echo $n; done | while read n; do echo "got $n"; done
trap 'echo trapped' USR1
kill -USR1 $$
sleep 0.1 &
wait $!
echo "done $?"
