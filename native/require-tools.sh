#!/bin/sh
# Before the addon is compiled: says in words what is missing, instead of the compiler's pages. POSIX shell, needs nothing.
missing=
for tool in python3 make "${CXX:-g++}"; do
  command -v "${tool%% *}" >/dev/null 2>&1 || missing="$missing ${tool%% *}"
done
[ -z "$missing" ] && exit 0
echo "qkme: cannot build its native addon, because these tools are missing:$missing" >&2
echo "qkme: install them, then run npm install again. On Debian and Ubuntu: apt-get install python3 make g++" >&2
exit 1
