# SPDX-License-Identifier: BSD-2-Clause
# Applets that make, move, copy, find and pack files.
mkdir -p a/b/c
echo text > a/b/file
ln a/b/file a/hard
ln -s b/file a/soft
cat a/soft
chmod 600 a/b/file
stat -c '%A %h %s %n' a/b/file a/soft
cp -r a copy
find copy | sort
mv copy/b/file copy/moved
ls copy copy/b
tar -cf all.tar a
tar -tf all.tar | sort
mkdir out && tar -xf all.tar -C out && diff -r a out/a && echo same
gzip -c all.tar | gunzip -c | cmp - all.tar && echo same
dd if=/dev/zero of=zeroes bs=1k count=20 2> /dev/null
ls -l zeroes | awk '{print $5}'
truncate -s 5 zeroes
md5sum zeroes
touch -d '2020-01-02 03:04:05' old
TZ=UTC date -r old '+%Y-%m-%d %H:%M:%S'
rm -r a copy out
ls
rmdir nothing
