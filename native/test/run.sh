#!/usr/bin/env bash
# Builds and runs every native/test/*_test.cc and native/post/test/*_test.cc without Node, once with AddressSanitizer and
# UndefinedBehaviorSanitizer, once with ThreadSanitizer. Arguments: names of tests (without _test.cc), or none for all.
# A test program prints its own "N passed, N failed"; one that does not counts as one. Closing line: the sum.
set -u
cd "$(dirname "$0")/../.."
out=build/native-test
cxx=${CXX:-g++}
command -v "$cxx" >/dev/null || { echo "no C++ compiler: apt-get install g++"; exit 1; }
include=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")/include/node
[ -e "$include/openssl/evp.h" ] || include=/usr/include
crypto=-l:libcrypto.so.3
echo 'int main(){}' | "$cxx" -x c++ - -o /dev/null $crypto 2>/dev/null || crypto=-lcrypto

flags="-std=c++20 -O1 -g -Wall -Wextra -Inative -isystem $include -fno-omit-frame-pointer"
sources=$(find native -name '*.cc' -not -path 'native/test/*' -not -path '*/binding/*' -not -path 'native/glibc/*' -not -path 'native/post/test/*' -not -path 'native/bench/*' | sort)
newest_header=$(find native -name '*.h' -printf '%T@ %p\n' | sort -rn | head -1 | cut -d' ' -f2-)
passed=0 failed=0

compile() { # sanitizer flags, source, object
  [ "$3" -nt "$2" ] && [ "$3" -nt "$newest_header" ] && return 0
  mkdir -p "$(dirname "$3")"
  "$cxx" $flags $1 -c "$2" -o "$3"
}

run_kind() { # kind, sanitizer flags, names…
  local kind=$1 sanitize=$2; shift 2
  local objects="" jobs_max; jobs_max=$(nproc)
  for source in $sources; do
    local object=$out/$kind/${source%.cc}.o
    objects="$objects $object"
    compile "$sanitize" "$source" "$object" &
    while [ "$(jobs -rp | wc -l)" -ge "$jobs_max" ]; do wait -n; done
  done
  wait
  for object in $objects; do [ -e "$object" ] || { echo "not ok $object did not compile"; failed=$((failed + 1)); return; }; done
  rm -f "$out/$kind/all.a"; ar rcs "$out/$kind/all.a" $objects
  for test in native/test/*_test.cc native/post/test/*_test.cc; do
    local name; name=$(basename "$test" _test.cc)
    [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
    local program=$out/$kind/$name
    if ! { compile "$sanitize" "$test" "$program.o" && "$cxx" $sanitize "$program.o" "$out/$kind/all.a" $crypto -lpthread -o "$program"; }; then
      echo "not ok $kind $name: does not build"; failed=$((failed + 1)); continue
    fi
    local code; timeout 300 "$program" >"$program.log" 2>&1; code=$?
    local line; line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$program.log" | tail -1)
    local p=0 f=0
    if [ -n "$line" ]; then p=${line%% passed*}; f=${line##*, }; f=${f%% failed*}; elif [ $code -eq 0 ]; then p=1; fi
    [ $code -ne 0 ] && [ "$f" -eq 0 ] && f=1
    passed=$((passed + p)); failed=$((failed + f))
    if [ "$f" -ne 0 ]; then echo "not ok $kind $name (exit $code)"; tail -40 "$program.log"; else echo "ok $kind $name: $p"; fi
  done
}

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
run_kind asan "-fsanitize=address,undefined -fno-sanitize-recover=all" "$@"
run_kind tsan "-fsanitize=thread" "$@"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
