#!/usr/bin/env bash
# Builds and runs native/test/*_test.cc and native/post/test/*_test.cc without Node: all with AddressSanitizer and
# UndefinedBehaviorSanitizer, and those of parts that two threads or processes share (rings, devices) with ThreadSanitizer: vault
# and post-processing have one thread. As many at once as there are cores. Arguments: names of tests (without _test.cc), or none for all.
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

flags="-std=c++20 -O1 -g1 -Wall -Wextra -Inative -isystem $include -fno-omit-frame-pointer"
sources=$(find native -name '*.cc' -not -path 'native/test/*' -not -path '*/binding/*' -not -path 'native/glibc/*' -not -path 'native/post/test/*' -not -path 'native/bench/*' -not -path 'native/fuzz/*' | sort)
newest_header=$(find native -name '*.h' -printf '%T@ %p\n' | sort -rn | head -1 | cut -d' ' -f2-)
passed=0 failed=0

compile() { # kind, sanitizer flags, source, object
  [ "$4" -nt "$3" ] && [ "$4" -nt "$newest_header" ] && return 0
  mkdir -p "$(dirname "$4")"
  "$cxx" $flags $2 -include "$out/$1/std.h" -c "$3" -o "$4"
}

precompile() { # kind, sanitizer flags: the standard library's headers
  [ "$out/$1/std.h.gch" -nt "$newest_header" ] && return 0
  mkdir -p "$out/$1"
  cp native/test/std.h "$out/$1/std.h"
  "$cxx" $flags $2 -x c++-header "$out/$1/std.h" -o "$out/$1/std.h.gch"
}

run_test() { # kind, sanitizer flags, test source: leaves "passed failed" in NAME.result and what to say in NAME.said
  local name; name=$(basename "$3" _test.cc)
  local program=$out/$1/$name p=0 f=0 code line
  if ! { compile "$1" "$2" "$3" "$program.o" && "$cxx" $2 "$program.o" "$out/$1/all.a" $crypto -lpthread -o "$program"; }; then
    echo "not ok $1 $name: does not build" >"$program.said"
    echo 0 1 >"$program.result"
    return
  fi
  timeout 300 "$program" >"$program.log" 2>&1; code=$?
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$program.log" | tail -1)
  if [ -n "$line" ]; then p=${line%% passed*}; f=${line##*, }; f=${f%% failed*}; elif [ $code -eq 0 ]; then p=1; fi
  [ $code -ne 0 ] && [ "$f" -eq 0 ] && f=1
  if [ "$f" -ne 0 ]; then { echo "not ok $1 $name (exit $code)"; tail -40 "$program.log"; } >"$program.said"; else echo "ok $1 $name: $p" >"$program.said"; fi
  echo "$p $f" >"$program.result"
}

wait_for_core() { while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done; }

run_kind() { # kind, sanitizer flags, sources, tests, names…
  local kind=$1 sanitize=$2 sources=$3 tests=$4 objects="" chosen=""; shift 4
  precompile "$kind" "$sanitize"
  for source in $sources; do
    local object=$out/$kind/${source%.cc}.o
    objects="$objects $object"
    compile "$kind" "$sanitize" "$source" "$object" &
    wait_for_core
  done
  wait
  for object in $objects; do [ -e "$object" ] || { echo "not ok $object did not compile"; failed=$((failed + 1)); return; }; done
  rm -f "$out/$kind/all.a"; ar rcs "$out/$kind/all.a" $objects
  for test in $tests; do
    local name; name=$(basename "$test" _test.cc)
    [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
    chosen="$chosen $name"
    rm -f "$out/$kind/$name.result"
    run_test "$kind" "$sanitize" "$test" &
    wait_for_core
  done
  wait
  for name in $chosen; do
    local p=0 f=1
    [ ! -e "$out/$kind/$name.result" ] || read -r p f <"$out/$kind/$name.result"
    cat "$out/$kind/$name.said"
    passed=$((passed + p)); failed=$((failed + f))
  done
}

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
tests=$(ls native/test/*_test.cc native/post/test/*_test.cc)
run_kind asan "-fsanitize=address,undefined -fno-sanitize-recover=all" "$sources" "$tests" "$@"
run_kind tsan "-fsanitize=thread" "$(grep -v -e /post/ -e /vault/ <<<"$sources") native/vault/locked_memory.cc" "$(grep -v -e /post/ -e /vault_ <<<"$tests")" "$@"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
